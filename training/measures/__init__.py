"""What distributions are worth beside labels: errors, losses, calibration and intervals, from arrays alone."""
