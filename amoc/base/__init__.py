"""What any module may use: errors, clock, text, waiting, processes."""
