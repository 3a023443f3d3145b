"""The rules, in plain Python: no Flask, no database, no clock."""
