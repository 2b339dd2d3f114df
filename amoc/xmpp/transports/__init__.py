"""How the bytes of a stream travel. Each writes, closes, and calls back with what came."""
