"""Own the processes of a footprint."""
