"""Container: one LXC container on a Proxmox cluster."""
