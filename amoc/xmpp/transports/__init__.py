"""How the bytes of a stream travel. Each transport writes, closes, and calls back with what came."""
