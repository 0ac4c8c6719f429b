# What the watch of a rotation may do: read the one credential that it works with.
path "kv/data/aws/registry/push-credential" { capabilities = ["read"] }
path "kv/data/azure/registry/push-credential" { capabilities = ["read"] }
path "kv/data/gcp/registry/push-credential" { capabilities = ["read"] }
