"""The account of messages: which of those that were sent have arrived, once and in order."""
