"""Mediapipe's BlazeFace, short range: from pixels to faces."""
