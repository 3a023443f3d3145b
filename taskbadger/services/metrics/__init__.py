"""Metrics: what the database says to Prometheus, the same in every process and on every host."""
