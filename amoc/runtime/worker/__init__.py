"""The worker: a process that runs users."""
