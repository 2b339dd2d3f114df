"""Storage of a run's seconds in its directory."""
