"""Where desired state comes from: the watched directory."""
