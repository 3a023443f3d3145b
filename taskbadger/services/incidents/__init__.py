"""Incidents of names and monitors: opening and closing, who is told, and what people do."""
