"""The controller: decides everything, runs no scenario code."""
