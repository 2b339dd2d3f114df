"""The worker: a process with users in it."""
