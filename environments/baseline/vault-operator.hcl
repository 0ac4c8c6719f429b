# What the learner's token may do in Vault: configure the jwt mounts of the clouds, and write policies called ml-….
path "sys/auth" { capabilities = ["read"] }
path "sys/mounts" { capabilities = ["read"] }

path "auth/jwt-aws/config" { capabilities = ["read", "create", "update"] }
path "auth/jwt-azure/config" { capabilities = ["read", "create", "update"] }
path "auth/jwt-gcp/config" { capabilities = ["read", "create", "update"] }

path "auth/jwt-aws/role" { capabilities = ["list"] }
path "auth/jwt-azure/role" { capabilities = ["list"] }
path "auth/jwt-gcp/role" { capabilities = ["list"] }

path "auth/jwt-aws/role/*" { capabilities = ["read", "create", "update", "delete"] }
path "auth/jwt-azure/role/*" { capabilities = ["read", "create", "update", "delete"] }
path "auth/jwt-gcp/role/*" { capabilities = ["read", "create", "update", "delete"] }

path "sys/policies/acl" { capabilities = ["list"] }
path "sys/policies/acl/ml-*" { capabilities = ["read", "create", "update", "delete"] }
path "sys/policy" { capabilities = ["read", "list"] }
path "sys/policy/ml-*" { capabilities = ["read", "create", "update", "delete"] }

# Names of secrets, never their values.
path "kv/metadata/*" { capabilities = ["read", "list"] }
