"""The server behind ``amoc serve``: the dashboard, the REST API, and its runs as child processes.

The server itself runs no scenario and holds no metrics. It starts each run as an operator would,
with ``amoc run``. It sends commands over the run's control socket, and reads what the run writes
into its directory. So runs started from a shell are treated like the server's own.
"""
