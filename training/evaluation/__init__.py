"""How well a model file does: error, coverage, calibration, robustness."""
