"""``taskbadger-server apply``: the channels, global actions, monitors and windows of a file."""
