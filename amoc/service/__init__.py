"""The server behind ``amoc serve``: REST, and runs as processes of its own.

The server runs no scenario and holds no figures. Each run is a process tree that it starts as an
operator would, with ``amoc run``; it gives commands over the run's control socket and reads what
the run writes into its directory. So a run of a shell beside it is as good as one of its own.
"""
