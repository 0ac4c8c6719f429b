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

# Who may have which certificate, and which are worth nothing any more; never the roots themselves.
path "pki-aws/roles" { capabilities = ["list"] }
path "pki-aws/roles/*" { capabilities = ["read", "create", "update", "delete"] }
path "pki-aws/certs" { capabilities = ["list"] }
path "pki-aws/certs/revoked" { capabilities = ["list"] }
path "pki-aws/cert/*" { capabilities = ["read"] }
path "pki-aws/revoke" { capabilities = ["update"] }
path "pki-azure/roles" { capabilities = ["list"] }
path "pki-azure/roles/*" { capabilities = ["read", "create", "update", "delete"] }
path "pki-azure/certs" { capabilities = ["list"] }
path "pki-azure/certs/revoked" { capabilities = ["list"] }
path "pki-azure/cert/*" { capabilities = ["read"] }
path "pki-azure/revoke" { capabilities = ["update"] }
path "pki-gcp/roles" { capabilities = ["list"] }
path "pki-gcp/roles/*" { capabilities = ["read", "create", "update", "delete"] }
path "pki-gcp/certs" { capabilities = ["list"] }
path "pki-gcp/certs/revoked" { capabilities = ["list"] }
path "pki-gcp/cert/*" { capabilities = ["read"] }
path "pki-gcp/revoke" { capabilities = ["update"] }
# Encryption keys: make, configure and rotate them, and wrap anew what they have wrapped. Nothing here decrypts, makes a
# data key, exports, backs up, imports, trims or deletes.
path "transit-aws/keys" { capabilities = ["list"] }
path "transit-aws/keys/+" { capabilities = ["read", "create", "update"] }
path "transit-aws/keys/+/config" { capabilities = ["create", "update"] }
path "transit-aws/keys/+/rotate" { capabilities = ["create", "update"] }
path "transit-aws/rewrap/+" { capabilities = ["create", "update"] }

path "transit-azure/keys" { capabilities = ["list"] }
path "transit-azure/keys/+" { capabilities = ["read", "create", "update"] }
path "transit-azure/keys/+/config" { capabilities = ["create", "update"] }
path "transit-azure/keys/+/rotate" { capabilities = ["create", "update"] }
path "transit-azure/rewrap/+" { capabilities = ["create", "update"] }

path "transit-gcp/keys" { capabilities = ["list"] }
path "transit-gcp/keys/+" { capabilities = ["read", "create", "update"] }
path "transit-gcp/keys/+/config" { capabilities = ["create", "update"] }
path "transit-gcp/keys/+/rotate" { capabilities = ["create", "update"] }
path "transit-gcp/rewrap/+" { capabilities = ["create", "update"] }
