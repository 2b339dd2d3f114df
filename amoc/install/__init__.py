"""A scenario's dependencies: found, resolved, and installed into a separate cached environment."""
