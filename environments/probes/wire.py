"""What all requests of one run share: the clients, and answers that many of them lean on."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from threading import Lock

import httpx

from environments.access import Access
from environments.platform import Workload
from environments.probes.clients import Clients, json_of, message_of
from environments.probes.observation import UnreachableError, brief
from environments.probes.once import Once
from environments.probes.tokens import service_account_token

SHORTEST_SHARED = 300  # seconds; far longer than a run of probes
LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # those of Kubernetes' own names


@dataclass(frozen=True, kw_only=True)
class Login:
    """Vault's answer to a login: `token` where it was let in, else why not. `uses` is 0 where the token has no such limit."""

    status: int
    reason: str
    token: str = field(default="", repr=False)
    seconds: int = 0
    uses: int = 0

    @property
    def accepted(self) -> bool:
        """Whether Vault gave a token."""
        return bool(self.token)


class Wire:
    """The way to the servers for one run of probes."""

    def __init__(self, access: Access, clients: Clients, seed: bytes) -> None:
        self.access = access
        self.clients = clients
        self.seed = seed
        self.once = Once()
        self._clean_up: list[Callable[[], object]] = []
        self._lock = Lock()

    def token(self, cloud: str, namespace: str, account: str, audience: str) -> str:
        """A service-account token, the same one for the same question."""
        key = ("token", cloud, namespace, account, audience)
        return self.once(key, lambda: service_account_token(self.clients, cloud, namespace, account, audience))

    def login(self, cloud: str, role: str, jwt: str) -> Login:
        """Show `jwt` to the mount of `cloud` and ask for `role`."""
        answer = self.clients.vault("POST", f"auth/jwt-{cloud}/login", body={"role": role, "jwt": jwt})
        auth = json_of(answer).get("auth") or {}
        return Login(
            status=answer.status_code,
            reason="" if auth else brief(message_of(answer)),
            token=auth.get("client_token", ""),
            seconds=auth.get("lease_duration", 0),
            uses=auth.get("num_uses", 0),
        )

    def right_login(self, cloud: str, workload: Workload) -> Login:
        """A login as it should be: the workload's own token, its own cloud and role. Done once a run."""
        return self.once(("login", cloud, workload.role), lambda: self.fresh_login(cloud, workload))

    def fresh_login(self, cloud: str, workload: Workload) -> Login:
        """The same, with a Vault token of its own."""
        jwt = self.token(cloud, workload.namespace, workload.account, self.access.params.audience)
        return self.login(cloud, workload.role, jwt)

    def session(self, cloud: str, workload: Workload) -> Login:
        """A login to work with: shared, unless its token would be used up or expire under way, which looks like a refusal."""
        login = self.right_login(cloud, workload)
        fleeting = login.uses or 0 < login.seconds < SHORTEST_SHARED
        return self.fresh_login(cloud, workload) if login.accepted and fleeting else login

    def forget(self) -> None:
        """Ask everything anew from now on."""
        self.once = Once()

    def clean_up_later(self, path: str, cloud: str) -> None:
        """Delete the object at `path` when the run is over."""
        params = {"gracePeriodSeconds": "0", "propagationPolicy": "Background"}
        with self._lock:
            self._clean_up.append(lambda: self.clients.kube(cloud, "DELETE", path, None, None, **params))

    def at_end(self, close: Callable[[], object]) -> None:
        """Close something when the run is over."""
        with self._lock:
            self._clean_up.append(close)

    def clean_up(self, pool: Executor) -> None:
        """Delete what probes have stored, as far as it goes: a reset takes care of the rest."""
        list(pool.map(_attempt, self._clean_up))
        self._clean_up.clear()


def _attempt(delete: Callable[[], object]) -> None:
    with contextlib.suppress(UnreachableError):
        delete()


def random_name(stem: str) -> str:
    """A name for an object, as a person, a release or a controller would give it."""
    style = secrets.choice(((), (4,), (8,), (10, 5), (5,)))
    parts = ["".join(secrets.choice(LETTERS) for _ in range(length)) for length in style]
    return "-".join([stem, *parts]) if parts else f"{stem}{secrets.randbelow(10**6)}"


def let_through(answer: httpx.Response) -> bool:
    """Whether Vault's policies let a request through, whatever came of it."""
    return answer.status_code != httpx.codes.FORBIDDEN
