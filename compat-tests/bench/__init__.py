"""Measurements of ensembles, for scripts/bench."""
