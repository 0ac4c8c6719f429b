"""Top layer: everything that draws conclusions from grades, and the command `mod209`."""
