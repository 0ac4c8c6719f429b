"""What a notebook shows of the footprint and of the learner's work; as text where there is no front end."""
