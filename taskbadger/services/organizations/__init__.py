"""Organizations, their projects and keys, and the audit log."""
