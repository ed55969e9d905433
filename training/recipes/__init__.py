"""Named training recipes, one in each file, with command, cost and expected score."""
