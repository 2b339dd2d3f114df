"""Results for other programs: tables, HDR histogram logs, JUnit."""
