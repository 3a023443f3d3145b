"""Delivery: the outbox, its channels, and each attempt to send a message."""
