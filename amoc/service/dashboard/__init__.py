"""The dashboard: pages for browsers, with the functions that REST has for programs."""
