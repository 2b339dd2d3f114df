"""The scenario, its settings and their sources, its load profile and its hooks."""
