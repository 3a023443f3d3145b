"""What goes over the wire, in marshmallow. Class names are the names in the OpenAPI document."""
