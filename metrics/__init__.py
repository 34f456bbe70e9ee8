"""What is exported to Prometheus, and what is made from it."""
