"""Bottom layer: everything that runs a lab, from tools and servers to the learner's notebook."""
