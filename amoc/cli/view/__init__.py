"""Terminal output of a run: while it is running, and at its end."""
