# Ours: turns what the learner's policy denies into the answer of an admission webhook. Learners cannot load this package.
package system

main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": response,
}

# Who asks, when, by which tool, and whether it is a dry run, is none of an admission policy's business here: without it a
# policy cannot tell the judge from anybody else.
question := json.remove(input, array.concat(
	["/request/uid", "/request/userInfo", "/request/dryRun", "/request/options"],
	[sprintf("/request/%s/metadata/%s", [thing, field]) |
		some thing in ["object", "oldObject"]
		some field in ["creationTimestamp", "managedFields", "uid"]
	],
))

deny := d if d := data.mod209.admission.deny with input as question

problems contains sprintf("%v", [message]) if {
	is_set(deny)
	some message in deny
}

# No policy at all admits everything: `value` is undefined then, and with it this rule.
problems contains "[policy] data.mod209.admission.deny is not a set of messages: write `deny contains message if { … }`" if {
	value := deny
	not is_set(value)
}

response := {"uid": input.request.uid, "allowed": true} if count(problems) == 0

response := {
	"uid": input.request.uid,
	"allowed": false,
	"status": {"code": 403, "message": concat("; ", sort(problems))},
} if {
	count(problems) > 0
}

# Two webhooks ask here, and only about what nobody but us may do; objects.py says what that is. No learner's policy has a say.
ours := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": {
		"uid": input.request.uid,
		"allowed": false,
		"status": {"code": 403, "message": reserved[input.request.resource.group]},
	},
}

reserved := {
	"rbac.authorization.k8s.io": "[access] names that begin with mod209: are the platform's own: leave them as they are",
	"": "[node] only the scheduler names a pod's node (leave out spec.nodeName), and pods crew-<number> are the platform's own",
}

# Kyverno's controller sees what learners may not, such as who the judge's people are, and its policies could look with its
# eyes. What CEL has for that there are functions with a capital: resource.Get, http.Post. Comments count as space.
eyes := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": object.union({"uid": input.request.uid, "allowed": true}, averted),
}

default averted := {}

averted := {
	"allowed": false,
	"status": {"code": 403, "message": "[access] a policy may judge by what it is asked about, and look nothing else up"},
} if {
	walk(input.request.object.spec, [_, text])
	is_string(text)
	regex.match(`\.(\s|//[^\n]*\n)*[A-Z]\w*(\s|//[^\n]*\n)*\(`, text)
}
