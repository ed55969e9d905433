"""The training loop: losses, schedules, checkpoints, progress display."""
