NAMESPACES = [workload.namespace for workload in lab.workloads]
KEPT = {"legacy-pipeline": "ml:data-scientists", "legacy-backfill": "features/feature-store"}


def clear(cloud):
    """Keep two of the old bindings, and take the others away."""
    for namespace in NAMESPACES:
        folder = f"{RBAC}/namespaces/{namespace}/rolebindings"
        for item in cloud.http.get(folder).json()["items"]:
            name = item["metadata"]["name"]
            if not name.startswith("mod209:") and name not in KEPT:
                cloud.http.delete(f"{folder}/{name}").raise_for_status()
    for name in ("legacy:on-call", "legacy:viewers", "legacy:security-audit"):
        cloud.http.delete(f"{RBAC}/clusterrolebindings/{name}")


for each in lab.clouds.values():
    clear(each)
