"""Where a run shows itself: metrics, configuration and pictures for CSV, TensorBoard and Weights & Biases."""
