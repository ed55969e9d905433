"""The HTTP API, in FastAPI's idiom."""
