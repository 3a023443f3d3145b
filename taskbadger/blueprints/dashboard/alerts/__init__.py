"""Pages of alerts: global actions, channels and deliveries."""
