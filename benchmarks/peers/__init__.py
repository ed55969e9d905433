"""The same pipeline behind other people's servers."""
