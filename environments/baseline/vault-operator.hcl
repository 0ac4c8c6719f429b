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

# Encryption keys: make, configure and rotate them, and wrap anew what they have wrapped. Nothing here decrypts, makes a
# data key, exports, backs up, imports, trims or deletes.
path "transit-{cloud}/keys" { capabilities = ["list"] }
path "transit-{cloud}/keys/+" { capabilities = ["read", "create", "update"] }
path "transit-{cloud}/keys/+/config" { capabilities = ["create", "update"] }
path "transit-{cloud}/keys/+/rotate" { capabilities = ["create", "update"] }
path "transit-{cloud}/rewrap/+" { capabilities = ["create", "update"] }

# The push credential of each registry: new secret ids beside the old one, its versions in kv, and an end of old ones. Never the role.
path "auth/approle-{cloud}/role/model-push/role-id" { capabilities = ["read"] }
path "auth/approle-{cloud}/role/model-push/secret-id" { capabilities = ["list", "create", "update"] }
path "auth/approle-{cloud}/role/model-push/secret-id/lookup" { capabilities = ["create", "update"] }
path "auth/approle-{cloud}/role/model-push/secret-id/destroy" { capabilities = ["create", "update", "delete"] }
path "auth/approle-{cloud}/role/model-push/secret-id-accessor/lookup" { capabilities = ["create", "update"] }
path "auth/approle-{cloud}/role/model-push/secret-id-accessor/destroy" { capabilities = ["create", "update", "delete"] }
path "kv/data/{cloud}/registry/push-credential" { capabilities = ["read", "create", "update", "patch", "delete"] }
path "kv/metadata/{cloud}/registry/push-credential" { capabilities = ["read", "list", "create", "update", "patch"] }
path "kv/delete/{cloud}/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/undelete/{cloud}/registry/push-credential" { capabilities = ["create", "update"] }
path "kv/destroy/{cloud}/registry/push-credential" { capabilities = ["create", "update"] }
path "pki-{cloud}/issue/push" { capabilities = ["update"] }
