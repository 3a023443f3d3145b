"""What the server does. Services change models by the rules of the domain, and never commit."""
