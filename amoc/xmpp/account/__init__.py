"""Message accounting: which sent messages have arrived, exactly once and in order."""
