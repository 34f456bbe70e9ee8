"""The decision rule of a release: pure."""
