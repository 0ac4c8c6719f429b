"""As whom the judge asks clouds: the operator, and people and accounts that no policy can have heard of.

Their names are drawn anew for each footprint. RBAC lets them do what operators may in the platform's namespaces, from the
beginning: learners can read no RBAC, and a policy can look up nobody's rights but those of whoever asks and of accounts
that it names. So nothing has to change between a learner's run and the judge's, and no policy sees a change.
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

Object = dict[str, Any]
OPERATOR: Final = "mod209:operator"
JUDGE: Final = "mod209:judge"
RBAC: Final = "rbac.authorization.k8s.io"
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


def subjects(newcomers: Newcomers) -> dict[str, Object]:
    """Who may edit the platform's objects: names of bindings, and whom they bind."""
    account = {"kind": "ServiceAccount", "name": newcomers.account, "namespace": newcomers.namespace}
    return {
        OPERATOR: {"apiGroup": RBAC, "kind": "Group", "name": OPERATORS_GROUP},
        "mod209:team": {"apiGroup": RBAC, "kind": "Group", "name": newcomers.team},
        "mod209:deployer": account,
    }


def judges_rights(newcomers: Newcomers) -> list[Object]:
    """The judge may ask as others, and do nothing itself. Of groups it may take on those of editors alone."""
    rules = [
        {"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]},
        _rule("", "groups", [OPERATORS_GROUP, newcomers.team]),
        _rule("", "serviceaccounts", [newcomers.account]),
        {"apiGroups": ["authentication.k8s.io"], "resources": ["uids"], "verbs": ["impersonate"]},
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": [f"userextras/{CREDENTIAL_KEY}"],
            "verbs": ["impersonate"],
        },
    ]
    meta = {"apiVersion": f"{RBAC}/v1", "metadata": {"name": JUDGE}}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": JUDGE}
    judges = [{"apiGroup": RBAC, "kind": "Group", "name": JUDGES_GROUP}]
    return [
        {**meta, "kind": "ClusterRole", "rules": rules},
        {**meta, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": judges},
    ]


def _rule(group: str, resource: str, names: list[str]) -> Object:
    return {"apiGroups": [group], "resources": [resource], "resourceNames": names, "verbs": ["impersonate"]}


def _person() -> str:
    return f"{_word(4)}.{_word(6)}"


def _word(letters: int) -> str:
    """A word that could be a name, of consonants and vowels in turn."""
    return "".join(secrets.choice(VOWELS if place % 2 else CONSONANTS) for place in range(letters))


def _certificate() -> str:
    return f"X509SHA256={secrets.token_hex(32)}"
