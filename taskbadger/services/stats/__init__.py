"""Statistics: runs counted from the history, and the figures that pages show."""
