"""Pages of monitors: the list, one monitor, and its form."""
