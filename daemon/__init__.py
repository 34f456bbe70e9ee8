"""The daemon: engine, store, sources, web and command line."""
