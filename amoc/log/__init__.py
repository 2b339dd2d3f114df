"""What becomes of log records in one process of a run; `amoc.logs` is its door."""
