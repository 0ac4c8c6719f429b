"""Middle layer: everything that decides a grade."""
