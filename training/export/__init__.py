"""From a trained network to a calibrated ONNX file with its card."""
