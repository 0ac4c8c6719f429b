lab.apply("manifests/template.yaml")
kinds = [
    {"apiGroups": [""], "kinds": ["Pod", "PodTemplate", "ReplicationController"]},
    {"apiGroups": ["apps"], "kinds": ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]},
    {"apiGroups": ["batch"], "kinds": ["Job", "CronJob"]},
]
for cloud in lab.clouds.values():
    facts = {"registry": cloud.registry, "healthRegions": cloud.health_regions}
    cloud.apply({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "PlatformPods",
        "metadata": {"name": "platform-pods"},
        "spec": {"enforcementAction": "deny", "match": {"kinds": kinds}, "parameters": facts},
    })
