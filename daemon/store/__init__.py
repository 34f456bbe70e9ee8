"""Objects, journal and events: in memory to read, in SQLite to last."""
