def grants(need):
    """Rules of a verb each; two subjects keep the role that they had."""
    kept = {who: name for name, who in KEPT.items()}
    name = kept.get(need.who, need.who.replace("/", ".").replace(":", "."))
    found = []
    for namespace in NAMESPACES:
        rights = [right for right in need.rights if namespace in right.namespaces]
        rules = [{**right.rule(), "verbs": [verb]} for right in rights for verb in right.verbs]
        if rules:
            head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name, "namespace": namespace}}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
            found.append({**head, "kind": "Role", "rules": rules})
            found.append({**head, "kind": "RoleBinding", "roleRef": reference, "subjects": [need.subject]})
    return found
