"""What stands on every footprint before a learner begins, whatever the provider."""
