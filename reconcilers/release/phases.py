"""The phases of a release as a table: pure."""
