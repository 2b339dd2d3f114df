"""What is to be run: the scenario, its settings and their sources, the load profile, hooks."""
