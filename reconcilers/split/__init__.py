"""TrafficSplit: which share of a service's traffic each colour gets."""
