"""The supervisor: loads the scenario, forks and replaces workers."""
