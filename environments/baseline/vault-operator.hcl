# What the learner's token may do in Vault: configure the jwt mounts of the clouds, and write policies called ml-….
# A line with {cloud} stands for one line a cloud.
path "sys/auth" { capabilities = ["read"] }
path "sys/mounts" { capabilities = ["read"] }

path "auth/jwt-{cloud}/config" { capabilities = ["read", "create", "update"] }
path "auth/jwt-{cloud}/role" { capabilities = ["list"] }
path "auth/jwt-{cloud}/role/*" { capabilities = ["read", "create", "update", "delete"] }

path "sys/policies/acl" { capabilities = ["list"] }
path "sys/policies/acl/ml-*" { capabilities = ["read", "create", "update", "delete"] }
path "sys/policy" { capabilities = ["read", "list"] }
path "sys/policy/ml-*" { capabilities = ["read", "create", "update", "delete"] }

# Names of secrets, never their values.
path "kv/metadata/*" { capabilities = ["read", "list"] }

# Who may have which certificate, and which are worth nothing any more; never the roots themselves.
path "pki-{cloud}/roles" { capabilities = ["list"] }
path "pki-{cloud}/roles/*" { capabilities = ["read", "create", "update", "delete"] }
path "pki-{cloud}/certs" { capabilities = ["list"] }
path "pki-{cloud}/certs/revoked" { capabilities = ["list"] }
path "pki-{cloud}/cert/*" { capabilities = ["read"] }
path "pki-{cloud}/revoke" { capabilities = ["update"] }
