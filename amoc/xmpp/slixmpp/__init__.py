"""slixmpp's own client, run in a greenlet."""
