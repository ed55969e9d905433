"""The service: photographs in, ages out."""
