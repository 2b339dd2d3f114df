"""Throttles: so many times a second over the whole run, or so many at the same time."""
