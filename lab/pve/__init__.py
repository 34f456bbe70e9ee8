"""A small, stateful Proxmox VE: a pure core for tests in virtual time, and an HTTPS server around it."""
