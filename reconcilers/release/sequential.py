"""Sequential tests on counts of errors: pure."""
