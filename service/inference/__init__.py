"""A library: bytes in, ages out. No HTTP, no settings, no threads."""
