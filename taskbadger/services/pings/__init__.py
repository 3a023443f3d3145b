"""Pings: runs that one HTTP request reports, without a client of ours."""
