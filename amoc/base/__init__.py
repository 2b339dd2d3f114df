"""Foundations that any module may use: errors, clock, text, waiting, processes."""
