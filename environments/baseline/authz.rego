# Ours: who may use OPA's API. Identities are the subjects of client certificates that the footprint's own CA signed.
package system.authz

default allow := false

allow if input.identity == "CN=mod209:keeper"

allow if {
	input.identity == "CN=mod209:webhook"
	input.method == "POST"
	input.path in [[""], ["v0", "data", "system", "ours"], ["v0", "data", "system", "eyes"]]
}
