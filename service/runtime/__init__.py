"""The running process: queue, worker threads, limits, metrics and logs. No FastAPI."""
