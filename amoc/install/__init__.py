"""What a scenario depends on: found, resolved, installed into a cached environment of its own."""
