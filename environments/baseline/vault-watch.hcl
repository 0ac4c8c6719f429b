# What the watch of a rotation may do: read the one credential that it works with.
path "kv/data/{cloud}/registry/push-credential" { capabilities = ["read"] }
