"""Long measurements of the running service: `python -m benchmarks.soak`, or `make soak`."""
