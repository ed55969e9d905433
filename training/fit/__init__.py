"""Training: losses, schedules, checkpoints, what is shown meanwhile."""
