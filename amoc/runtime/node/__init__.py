"""The node: one host's share of a run. Relays, samples the board, watches its supervisor."""
