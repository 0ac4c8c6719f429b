"""As whom the judge asks clouds: the operator, and people and accounts that no policy can have heard of.

Their names are drawn anew each time that a judge gets its credentials, and only then RBAC lets them do what operators may
in the platform's namespaces: learners may read and patch bindings, and a watch can go back to what was there before. No
policy sees the difference. It can look up nobody's rights but those of whoever asks and of accounts that it names, and
nobody may write one with roles or bindings as parameters.
"""

from __future__ import annotations

import secrets
import ssl
import uuid
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from environments.access import Identity
from environments.platform import JUDGES_GROUP, OPERATORS_GROUP, platform
from environments.rights import RBAC_GROUP, wildcard_groups

Object = dict[str, Any]
OPERATOR: Final = "mod209:operator"
JUDGE: Final = "mod209:judge"
EDITOR_ROLE: Final = "mod209:platform-editor"
CONSONANTS: Final = "bdfghklmnprstvz"
VOWELS: Final = "aeiou"
CREDENTIAL_KEY: Final = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True, kw_only=True)
class Newcomers:
    """Who else works on a footprint: a team of people, and a service account that deploys."""

    team: str
    namespace: str
    account: str

    @property
    def user(self) -> str:
        """The account as Kubernetes names it."""
        return f"system:serviceaccount:{self.namespace}:{self.account}"


def draw() -> Newcomers:
    """Newcomers that nobody can guess."""
    return Newcomers(team=_word(8), namespace=secrets.choice(platform().namespaces), account=f"{_word(6)}-{_word(6)}")


def people(newcomers: Newcomers, operator_cert: str) -> list[Identity]:
    """The operator as its certificate (PEM) makes it, a colleague, a member of the team, and the account.

    User names and credentials are drawn anew at each call.
    """
    digest = sha256(ssl.PEM_cert_to_DER_cert(operator_cert)).hexdigest()
    return [
        Identity(user=OPERATOR, groups=[OPERATORS_GROUP], credential=f"X509SHA256={digest}"),
        Identity(user=_person(), groups=[OPERATORS_GROUP], credential=_certificate()),
        Identity(user=_person(), groups=[newcomers.team], credential=_certificate()),
        # Kubernetes adds an account's groups itself.
        Identity(user=newcomers.user, uid=str(uuid.uuid4()), credential=f"JTI={uuid.uuid4()}"),
    ]


def rights_of(newcomers: Newcomers) -> dict[str, Object]:
    """By key of etcd, what lets the newcomers edit the platform's objects, and the judge ask as they would."""
    account = {"kind": "ServiceAccount", "name": newcomers.account, "namespace": newcomers.namespace}
    team = {"apiGroup": RBAC_GROUP, "kind": "Group", "name": newcomers.team}
    role = _judges_role(newcomers)
    bindings = [
        binding(name, namespace, subject)
        for namespace in platform().namespaces
        for name, subject in (("mod209:team", team), ("mod209:deployer", account))
    ]
    return {f"/registry/clusterroles/{JUDGE}": role} | {
        f"/registry/rolebindings/{one['metadata']['namespace']}/{one['metadata']['name']}": one for one in bindings
    }


def binding(name: str, namespace: str, subject: Object) -> Object:
    """A binding that lets `subject` edit the platform's objects in one namespace."""
    return {
        "apiVersion": f"{RBAC_GROUP}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": EDITOR_ROLE},
        "subjects": [subject],
    }


def judges_binding() -> Object:
    """Binds judges to their role, which is there only when a judge is."""
    role = {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": JUDGE}
    judges = [{"apiGroup": RBAC_GROUP, "kind": "Group", "name": JUDGES_GROUP}]
    meta = {"apiVersion": f"{RBAC_GROUP}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": JUDGE}}
    return {**meta, "roleRef": role, "subjects": judges}


def _judges_role(newcomers: Newcomers) -> Object:
    """The judge may ask as others, and do nothing itself: as editors, and as those whose rights ZT-6 is about."""
    accounts = [newcomers.account, "default", *(workload.account for workload in platform().workloads)]
    people = [need.who for need in platform().needs if "/" not in need.who]
    rules = [
        {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
        _rule("", "groups", [OPERATORS_GROUP, newcomers.team, *people, *wildcard_groups(platform().namespaces)]),
        _rule("", "serviceaccounts", accounts),
        {"apiGroups": ["authentication.k8s.io"], "resources": ["uids"], "verbs": ["impersonate"]},
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": [f"userextras/{CREDENTIAL_KEY}"],
            "verbs": ["impersonate"],
        },
    ]
    return {"apiVersion": f"{RBAC_GROUP}/v1", "kind": "ClusterRole", "metadata": {"name": JUDGE}, "rules": rules}


def _rule(group: str, resource: str, names: list[str]) -> Object:
    return {"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": ["impersonate"]}


def _person() -> str:
    return f"{_word(4)}.{_word(6)}"


def _word(letters: int) -> str:
    """A word that could be a name, of consonants and vowels in turn."""
    return "".join(secrets.choice(VOWELS if place % 2 else CONSONANTS) for place in range(letters))


def _certificate() -> str:
    return f"X509SHA256={secrets.token_hex(32)}"
