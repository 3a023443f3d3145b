"""Monitors: their settings, slots, runs and incidents."""
