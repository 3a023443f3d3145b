"""Tasks: written through one door, listed, searched, exported, and ended by the clock."""
