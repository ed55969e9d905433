"""Train a recipe again with one piece changed, several seeds each, and compare the runs face by face."""
