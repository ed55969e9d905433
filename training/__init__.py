"""Make an age model from labelled faces: datasets, training, calibration, export."""
