"""Results for other programs: tables, HDR logs, JUnit."""
