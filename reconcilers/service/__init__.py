"""Service: a pair of containers and the split between them."""
