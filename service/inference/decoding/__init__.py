"""From bytes to pixels: which formats are read, what decoding costs, and who decodes."""
