"""The clean room, the same on every provider: three clouds and a Vault brought to a baseline, back to it, and settled."""
