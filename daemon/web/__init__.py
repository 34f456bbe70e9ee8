"""What the daemon answers: health, metrics and the API of psactl."""
