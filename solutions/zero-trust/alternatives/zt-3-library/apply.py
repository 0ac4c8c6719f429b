Path("policies/admission.rego").write_text("""package mod209.admission

import data.mod209.admission.lib

deny contains sprintf("[ZT-3/%s] %s", [rule, reason]) if {
	some rule, reasons in violations
	some reason in reasons
}

violations := {
	"digest": {c.name | some c in lib.containers; not lib.pinned(c)},
	"registry": {c.name | some c in lib.containers; not lib.ours(c)},
	"privileged": lib.privileged,
	"service-account": {"default" | lib.pod.account in {"", "default"}},
	"data-label": {"unknown label" | not lib.pod.data in {"public", "internal", "personal", "health"}},
	"residency": {lib.pod.region | lib.pod.data == "health"; not lib.pod.region in data.cloud.health_regions},
}
""")
lab.apply("policies/lib.rego", "policies/admission.rego")
