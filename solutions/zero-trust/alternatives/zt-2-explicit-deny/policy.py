def policy(cloud, workload):
    """Read its own secret; deny what lies around it by name, so that no second policy can open it."""
    own = workload.secret(cloud)
    rules = {f"kv/data/{own}": "read", f"kv/data/{own}/*": "deny", "kv/metadata/*": "deny", "sys/policies/*": "deny"}
    return "\n".join(f'path "{path}" {{ capabilities = ["{can}"] }}' for path, can in rules.items())
