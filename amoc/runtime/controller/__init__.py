"""The controller: decides everything, runs no code of a scenario."""
