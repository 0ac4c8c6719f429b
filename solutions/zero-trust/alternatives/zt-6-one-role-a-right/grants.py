import hashlib


def grants(need):
    """One role for each right, and one binding for each subject that needs it."""
    found = []
    for right in need.rights:
        for namespace in right.namespaces:
            rule = right.rule()
            role = "can-" + hashlib.sha256(yaml.safe_dump(rule).encode()).hexdigest()[:12]
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
            version = {"apiVersion": "rbac.authorization.k8s.io/v1"}
            found.append({**version, "kind": "Role", "metadata": {"name": role, "namespace": namespace}, "rules": [rule]})
            name = f"{role}-{need.who.replace('/', '-').replace(':', '-')}"
            head = {**version, "kind": "RoleBinding", "metadata": {"name": name, "namespace": namespace}}
            found.append({**head, "roleRef": reference, "subjects": [need.subject]})
    return found
