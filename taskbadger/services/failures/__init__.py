"""Failures: the kinds that failed tasks have in common."""
