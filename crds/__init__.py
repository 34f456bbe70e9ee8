"""What can be asked for: frozen models, no I/O."""
