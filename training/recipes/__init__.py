"""Named recipes, one a file; each says its command, its cost and the score to expect."""
