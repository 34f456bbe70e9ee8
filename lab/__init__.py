"""A whole platform on one machine, for the demo, the tests and the benchmarks."""
