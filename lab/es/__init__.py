"""A stand-in for Elasticsearch 8: stateful, small, and as its documentation says; no real one was asked."""
