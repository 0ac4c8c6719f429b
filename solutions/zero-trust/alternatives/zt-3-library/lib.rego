%%artifact policies/lib.rego
package mod209.admission.lib

# Where a pod is in each kind of object.
places := object.union(
	{"Pod": [], "PodTemplate": ["template"], "CronJob": ["spec", "jobTemplate", "spec", "template"]},
	{kind: ["spec", "template"] | some kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"}},
)

template := object.get(input.request.object, places[input.request.kind.kind], {})

pod := {
	"account": object.get(template, ["spec", "serviceAccountName"], ""),
	"data": object.get(template, ["metadata", "labels", "mod209.io/data"], ""),
	"region": object.get(template, ["spec", "nodeSelector", "topology.kubernetes.io/region"], ""),
}

containers contains container if {
	some field, list in template.spec
	endswith(lower(field), "containers")
	some container in list
}

pinned(container) if regex.match("@sha256:[0-9a-f]{64}$", container.image)

# The host is what stands before the first slash.
ours(container) if {
	at := indexof(container.image, "/")
	substring(container.image, 0, at) == data.cloud.registry
}

privileged contains container.name if {
	some container in containers
	container.securityContext.privileged == true
}

privileged contains field if {
	some field in {"hostNetwork", "hostPID", "hostIPC"}
	template.spec[field] == true
}

privileged contains volume.name if {
	some volume in template.spec.volumes
	"hostPath" in object.keys(volume)
}
