"""From a user's number to a session, and back to one when it was lost."""
