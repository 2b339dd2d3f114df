"""The dashboard: pages for a browser, of what REST offers to programs."""
