mounts = lab.vault.sys.list_auth_methods()["data"]


def policy(cloud, workload):
    """The same text for every workload of a cloud: Vault fills in who is asking."""
    who = "identity.entity.aliases." + mounts[f"jwt-{cloud}/"]["accessor"] + ".metadata"
    own = f"kv/data/{cloud}/{{{{{who}.namespace}}}}/{{{{{who}.account}}}}"
    return f'path "{own}" {{ capabilities = ["read"] }}\n'
