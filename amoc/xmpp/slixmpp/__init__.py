"""slixmpp's own client, in a greenlet."""
