"""Find faces: proposals in views of the picture, judged by BlazeFace in upright windows."""
