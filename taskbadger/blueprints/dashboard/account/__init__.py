"""Signing in, invitations, and a person's own account."""
