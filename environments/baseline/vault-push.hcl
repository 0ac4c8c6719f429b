# What a login with the registry's push credential may do in Vault: see itself.
path "auth/token/lookup-self" { capabilities = ["read"] }
