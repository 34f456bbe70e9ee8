"""A small, stateful Proxmox VE: a pure core that tests drive in virtual time, and an HTTPS server around it."""
