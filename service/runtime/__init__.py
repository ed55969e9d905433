"""One running process: who waits, who works, what is counted. No FastAPI."""
