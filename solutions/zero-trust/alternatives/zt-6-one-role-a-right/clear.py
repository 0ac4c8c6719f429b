NAMESPACES = [workload.namespace for workload in lab.workloads]


def clear(cloud):
    """Unbind everybody. A role that nobody is bound to grants nothing."""
    folders = [f"{RBAC}/namespaces/{namespace}/rolebindings" for namespace in NAMESPACES]
    found = [(folder, item["metadata"]["name"]) for folder in folders for item in cloud.http.get(folder).json()["items"]]
    for folder, name in found:
        if name != "mod209:operator":
            cloud.http.delete(f"{folder}/{name}").raise_for_status()
    for name in ("legacy:on-call", "legacy:viewers", "legacy:security-audit"):
        cloud.http.delete(f"{RBAC}/clusterrolebindings/{name}")


for each in lab.clouds.values():
    clear(each)
