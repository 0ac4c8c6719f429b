"""The service that lints and loads learners' policies."""
