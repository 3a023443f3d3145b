"""Digests: mails that sum up what happened in an organization, for its members."""
