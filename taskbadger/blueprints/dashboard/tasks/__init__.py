"""Pages of tasks: the list with its search, one task, names and exports."""
