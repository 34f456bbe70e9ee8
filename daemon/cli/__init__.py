"""psactl: the daemon's terminal, over its UNIX socket."""
