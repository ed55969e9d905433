"""Evaluate model files: error, calibration, coverage, robustness."""
