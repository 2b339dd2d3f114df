"""How the seconds of a run are kept in its directory, and read back."""
