"""LoadBalancer: what stands in an HAProxy pair at run time."""
