"""The migrations in order; they import nothing of ours."""
