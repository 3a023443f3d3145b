"""``taskbadger-server apply``: the channels, global actions and monitors of a file."""
