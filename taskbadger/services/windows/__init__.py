"""Maintenance windows: how people manage them, and what happens when one ends."""
