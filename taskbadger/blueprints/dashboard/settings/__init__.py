"""Settings of an organization: projects, keys, members and the audit log."""
