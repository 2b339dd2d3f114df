"""From a user's number to a session, and back to a session after its loss."""
