"""Transports for the bytes of a stream. Each writes, closes, and calls back with received data."""
