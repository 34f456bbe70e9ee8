"""Elasticsearch: templates, lifecycle policies, indices and cluster settings."""
