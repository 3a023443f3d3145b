"""Doors: ways in for clients of other services, which need only change an address."""
