"""Deleting projects and organizations: at once for everybody, and row by row in the background."""
