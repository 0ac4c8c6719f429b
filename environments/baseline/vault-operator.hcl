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

# The push credential of each registry: new secret ids beside the old one, its versions in kv, and an end of old ones. Never the role.
path "auth/approle-aws/role/model-push/role-id" { capabilities = ["read"] }
path "auth/approle-aws/role/model-push/secret-id" { capabilities = ["list", "create", "update"] }
path "auth/approle-aws/role/model-push/secret-id/lookup" { capabilities = ["create", "update"] }
path "auth/approle-aws/role/model-push/secret-id/destroy" { capabilities = ["create", "update", "delete"] }
path "auth/approle-aws/role/model-push/secret-id-accessor/lookup" { capabilities = ["create", "update"] }
path "auth/approle-aws/role/model-push/secret-id-accessor/destroy" { capabilities = ["create", "update", "delete"] }
path "kv/data/aws/registry/push-credential" { capabilities = ["read", "create", "update", "patch", "delete"] }
path "kv/metadata/aws/registry/push-credential" { capabilities = ["read", "list", "create", "update", "patch"] }
path "kv/delete/aws/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/undelete/aws/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/destroy/aws/registry/push-credential" { capabilities = ["create", "update"] }
path "pki-aws/issue/push" { capabilities = ["update"] }
path "auth/approle-azure/role/model-push/role-id" { capabilities = ["read"] }
path "auth/approle-azure/role/model-push/secret-id" { capabilities = ["list", "create", "update"] }
path "auth/approle-azure/role/model-push/secret-id/lookup" { capabilities = ["create", "update"] }
path "auth/approle-azure/role/model-push/secret-id/destroy" { capabilities = ["create", "update", "delete"] }
path "auth/approle-azure/role/model-push/secret-id-accessor/lookup" { capabilities = ["create", "update"] }
path "auth/approle-azure/role/model-push/secret-id-accessor/destroy" { capabilities = ["create", "update", "delete"] }
path "kv/data/azure/registry/push-credential" { capabilities = ["read", "create", "update", "patch", "delete"] }
path "kv/metadata/azure/registry/push-credential" { capabilities = ["read", "list", "create", "update", "patch"] }
path "kv/delete/azure/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/undelete/azure/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/destroy/azure/registry/push-credential" { capabilities = ["create", "update"] }
path "pki-azure/issue/push" { capabilities = ["update"] }
path "auth/approle-gcp/role/model-push/role-id" { capabilities = ["read"] }
path "auth/approle-gcp/role/model-push/secret-id" { capabilities = ["list", "create", "update"] }
path "auth/approle-gcp/role/model-push/secret-id/lookup" { capabilities = ["create", "update"] }
path "auth/approle-gcp/role/model-push/secret-id/destroy" { capabilities = ["create", "update", "delete"] }
path "auth/approle-gcp/role/model-push/secret-id-accessor/lookup" { capabilities = ["create", "update"] }
path "auth/approle-gcp/role/model-push/secret-id-accessor/destroy" { capabilities = ["create", "update", "delete"] }
path "kv/data/gcp/registry/push-credential" { capabilities = ["read", "create", "update", "patch", "delete"] }
path "kv/metadata/gcp/registry/push-credential" { capabilities = ["read", "list", "create", "update", "patch"] }
path "kv/delete/gcp/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/undelete/gcp/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/destroy/gcp/registry/push-credential" { capabilities = ["create", "update"] }
path "pki-gcp/issue/push" { capabilities = ["update"] }
