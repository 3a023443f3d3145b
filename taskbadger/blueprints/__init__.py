"""HTTP: each module translates requests to services, and has ``register(app, api)``."""
