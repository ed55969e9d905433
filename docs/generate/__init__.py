"""Writes what the documents say of settings, errors, metrics and measurements: `python -m docs.generate`."""
