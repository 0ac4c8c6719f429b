def peer(name):
    """Whom a rule means: matchExpressions say the same in more words."""
    namespace, key, value = "kube-system", "k8s-app", "kube-dns"
    if name != "dns":
        namespace, value = name.split("/")
        key = "app"
    where = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace]}
    who = {"key": key, "operator": "In", "values": [value]}
    return {"namespaceSelector": {"matchExpressions": [where]}, "podSelector": {"matchExpressions": [who]}}


def network_policies(workload):
    """One policy for each direction of each flow, and a default deny for each direction. DNS is for the whole namespace."""
    me = f"{workload.namespace}/{workload.account}"
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    specs = [{"podSelector": {}, "policyTypes": [way]} for way in ("Ingress", "Egress")]
    dns = [{"port": 53, "protocol": "UDP"}, {"port": 53}]
    specs.append({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [peer("dns")], "ports": dns}]})
    mine = {"matchExpressions": [{"key": "app", "operator": "In", "values": [workload.account]}]}
    for flow in lab.flows:
        ports = [{"port": flow.port, "endPort": flow.port, "protocol": flow.protocol}]
        if flow.source == me and flow.target != "dns":
            rule = {"to": [peer(flow.target)], "ports": ports}
            specs.append({"podSelector": mine, "policyTypes": ["Egress"], "egress": [rule]})
        if flow.target == me:
            rule = {"from": [peer(flow.source)], "ports": ports}
            specs.append({"podSelector": mine, "policyTypes": ["Ingress"], "ingress": [rule]})
    return [
        {**kind, "metadata": {"name": f"rule-{number}", "namespace": workload.namespace}, "spec": spec}
        for number, spec in enumerate(specs)
    ]
