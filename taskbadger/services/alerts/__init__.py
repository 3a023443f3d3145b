"""Alerts: actions and global actions, what they fire, and why something did not fire."""
