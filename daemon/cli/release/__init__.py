"""psactl release: what a release is about, in figures and in sentences."""
