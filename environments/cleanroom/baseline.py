"""The clean room: remember the baseline, bring it back and prove it, and settle after a learner's run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx

from environments.baseline import cohort, objects, people
from environments.baseline.people import Newcomers
from environments.baseline.vault import Seeds
from environments.cleanroom import etcd_state, opa, vault_state
from environments.cleanroom.bootstrap import Kube, wait_caught_up
from environments.cleanroom.opa import Opa
from environments.cleanroom.plane import Plane
from environments.errors import FootprintError
from environments.params import LearnerParams
from environments.platform import JUDGES_GROUP, platform
from environments.rights import REVIEWS, ask_of, review

PARTS = {
    "admission": re.compile(r"^/registry/(validatingadmissionpolic(ies|ybindings)|validatingwebhookconfigurations)/"),
    "rbac": re.compile(r"^/registry/(cluster)?role(binding)?s/"),
}
SHOWN = 5  # differences that an error names
# What one learner's run may add to an etcd. Reading more back takes minutes and gigabytes; at 2 GB etcd takes no more.
FLOOD_BYTES = 128 << 20
HEED_SECONDS = 5.0
QUIET_SECONDS = 8.0  # in which controllers see that what they looked after is gone


class Baseline:
    """State of three clouds, their OPAs and Vault as it was when this object was made. `vault` carries the root token."""

    def __init__(
        self,
        planes: Mapping[str, Plane],
        opas: Mapping[str, Opa],
        vault: httpx.Client,
        seeds: Seeds,
        stack: ExitStack,
    ) -> None:
        enter = stack.enter_context
        self._vault = vault
        self._seeds = seeds
        self._known: vault_state.Known = {}
        self._planes = planes
        self._operator = {name: enter(plane.as_operator.client(timeout=30.0)) for name, plane in planes.items()}
        self._etcd = {name: enter(plane.etcd.client(timeout=30.0)) for name, plane in planes.items()}
        self._kube = {name: Kube(enter(plane.keeper.client(timeout=30.0))) for name, plane in planes.items()}
        self._opa = {name: enter(agent.keeper.client(timeout=30.0)) for name, agent in opas.items()}
        with ThreadPoolExecutor(1) as pool:
            document = pool.submit(vault_state.dump, vault, self._known)
            self._keys = {name: self._dump(name) for name in planes}
            self._modules = {name: opa.modules(client) for name, client in self._opa.items()}
            self._document = document.result()
        self._armed = self._keys
        self._admitted: dict[bytes, bytes] = {}
        self._sizes = {name: etcd_state.size(client) for name, client in self._etcd.items()}

    def arm(self, params: LearnerParams) -> None:
        """Give the clean clouds one learner's facts, and let operators in. What is there then `settle` compares with."""
        self._admit_operators(admitted=True)
        for name, cloud in params.clouds.items():
            opa.put_facts(self._opa[name], name, cloud)
            _insist(name, self._kube[name], objects.facts(name, cloud))
            _insist(name, self._kube[name], cohort.table(params, name))
        self._armed = {name: self._dump(name) for name in self._planes}
        self._sizes = {name: etcd_state.size(client) for name, client in self._etcd.items()}

    def admit(self, newcomers: Newcomers) -> None:
        """Give the newcomers their rights, straight into etcd: a policy that is there could refuse it to the keeper."""
        rights = {key.encode(): _stored(item) for key, item in people.rights_of(newcomers).items()}
        for name, client in self._etcd.items():
            wait_caught_up(self._kube[name], etcd_state.write(client, rights))
        self._admitted = rights
        for name, kube in self._kube.items():
            _wait_known(name, kube, newcomers)

    def reset(self, only: str | None) -> dict[str, Any]:
        """Bring everything, or one part, back, and prove it.

        Returns:
            `{"etcd": {cloud: {"keys_restored", "digest"}}, "vault": {"digest", "paths"}, "opa": {...}}`,
            only what was reset; `"vault": None` where only a new Vault can be clean, see `adopt_vault`.

        Raises:
            FootprintError: something is not equal to the baseline afterwards.
        """
        with ThreadPoolExecutor(4) as pool:
            work = {}
            if only in (None, "vault"):
                work["vault"] = pool.submit(self._reset_vault)
            if only != "vault":
                work["etcd"] = pool.submit(self._reset_clouds, only)
            if only in (None, "admission"):
                work["opa"] = pool.submit(self._reset_opas)
            return {part: future.result() for part, future in work.items()}

    def settle(self) -> dict[str, Any]:
        """Revoke the operator's credentials and all that was minted from them; list what was changed that may not be.

        RBAC stays as it is, so that a policy finds nobody's rights changed, and the judge can ask as the operator.

        Returns:
            `{"tampered": [what, …], "tokens_revoked": n}`.

        Raises:
            FootprintError: an API server goes on accepting the operator's certificate.
        """
        self._admit_operators(admitted=False)
        tampered = [problem for name in self._etcd for problem in self._settle_cloud(name)]
        revoked, lost = self._settle_vault()
        return {"tampered": tampered + lost, "tokens_revoked": revoked}

    def _admit_operators(self, *, admitted: bool) -> None:
        for plane in self._planes.values():
            plane.admit_operators(admitted=admitted)
        for name, client in self._operator.items():
            _wait_heeded(name, client, admitted=admitted)

    def _reset_clouds(self, only: str | None) -> dict[str, Any]:
        with ThreadPoolExecutor(len(self._etcd)) as pool:
            return dict(
                zip(
                    self._etcd,
                    pool.map(lambda name: self._reset_cloud(name, self._part(name, only)), self._etcd),
                    strict=True,
                )
            )

    def _part(self, name: str, only: str | None) -> re.Pattern[str] | None:
        """The keys of a cloud's part, None for all."""
        if only == "admission":
            return re.compile(f"{PARTS[only].pattern}|{self._planes[name].policies.pattern}")
        return PARTS.get(only or "")

    def _reset_cloud(self, name: str, part: re.Pattern[str] | None) -> dict[str, Any]:
        baseline = self._keys[name]
        if (grown := self._grown(name)) > FLOOD_BYTES:
            raise _not_clean(name, [f"{grown >> 20} MiB more than a reset can read"])
        changed: dict[bytes, int] = {}
        now, deadline = self._dump(name), time.monotonic() + QUIET_SECONDS
        while True:
            changed |= etcd_state.restore(self._etcd[name], baseline, now, part)
            now = self._dump(name)
            left = sorted(_text(key) for key in baseline.changed(now))
            if not (left := [key for key in left if not part or part.match(key)]):
                break
            if time.monotonic() > deadline:
                raise _not_clean(name, left)
            time.sleep(0.1)  # a controller has made something anew for an object that it did not know to be gone
        wait_caught_up(self._kube[name], changed)
        return {"keys_restored": len(changed), "digest": now.digest}

    def _dump(self, name: str) -> etcd_state.Snapshot:
        return etcd_state.dump(self._etcd[name], self._planes[name].volatile)

    def _reset_opas(self) -> dict[str, Any]:
        for name, client in self._opa.items():
            opa.replace_modules(client, {})
            if opa.modules(client) != self._modules[name]:
                raise _not_clean(f"{name}/opa", ["policy modules"])
        return {name: {"modules": len(modules)} for name, modules in self._modules.items()}

    def adopt_vault(self, vault: httpx.Client) -> dict[str, Any]:
        """Go on with a new Vault, which has been set up; returns the proof that it is as the first one was.

        Raises:
            FootprintError: it is not.
        """
        self._vault = vault
        now = vault_state.dump(vault, self._known)
        if left := vault_state.differences(self._document, now, learner_may_change=False):
            raise _not_clean("vault", left)
        return {"digest": vault_state.digest(now), "paths": len(now)}

    def _reset_vault(self) -> dict[str, Any] | None:
        """Undo a learner's usual work. What is not clean then was taken over, or does not answer."""
        try:
            vault_state.undo(self._vault, self._seeds)
            return self.adopt_vault(self._vault)
        except (httpx.HTTPError, FootprintError):
            return None

    def _settle_cloud(self, name: str) -> list[str]:
        """What differs on one cloud from what it was armed with."""
        if (grown := self._grown(name)) > FLOOD_BYTES:
            return [f"{name}: flooded with {grown >> 20} MiB"]
        domain, policies = etcd_state.learner_domain(), self._planes[name].policies
        now = self._dump(name)
        changed = self._armed[name].changed(now) - {key for key in now.keys if self._admitted.get(key) == now.keys[key]}
        theirs = (key for key in sorted(map(_text, changed)) if not domain.match(key) and not policies.match(key))
        tampered = [f"{name}: {key}" for key in theirs]
        modules = opa.modules(self._opa[name])
        if {key: raw for key, raw in modules.items() if not key.startswith(opa.LEARNER_PREFIX)} != self._modules[name]:
            tampered.append(f"{name}: OPA's own modules")
        return tampered

    def _grown(self, name: str) -> int:
        """Bytes that were added to a cloud's etcd since the learner's run began."""
        return etcd_state.size(self._etcd[name]) - self._sizes[name]

    def _settle_vault(self) -> tuple[int, list[str]]:
        """A Vault that its own root token cannot enter any more was taken over: nothing else can have done that."""
        try:
            revoked = vault_state.revoke_tokens(self._vault)
            now = vault_state.dump(self._vault, self._known)
        except httpx.HTTPStatusError as error:
            return 0, [f"vault: the keeper is locked out (status {error.response.status_code})"]
        return revoked, [
            f"vault: {path}" for path in vault_state.differences(self._document, now, learner_may_change=True)
        ]


def timed(report: dict[str, Any], began: float) -> dict[str, Any]:
    """The report with the seconds since `began` (of the monotonic clock)."""
    return {"seconds": round(time.monotonic() - began, 4), **report}


def _insist(name: str, kube: Kube, item: objects.Object) -> None:
    """Apply an object that a policy which is gone may still refuse: API servers forget one a second or so later.

    Raises:
        FootprintError: it is refused for longer, by a policy that is still there.
    """
    deadline = time.monotonic() + HEED_SECONDS
    while True:
        try:
            kube.apply(item)
        except httpx.HTTPStatusError:
            if time.monotonic() > deadline:
                raise FootprintError(
                    f"A policy on {name} refuses even the platform's own facts.",
                    hint="Reset it too: mod209 reset LAB --only admission, or all with mod209 reset LAB.",
                ) from None
            time.sleep(0.05)
        else:
            return


def _wait_heeded(name: str, operator: httpx.Client, *, admitted: bool) -> None:
    """Wait until an operator's certificate is accepted, or not any more."""
    deadline = time.monotonic() + HEED_SECONDS
    while (operator.get("/version").status_code != httpx.codes.UNAUTHORIZED) != admitted:
        if time.monotonic() > deadline:
            raise FootprintError(
                f"The API server of {name} does not heed which certificates count now.",
                hint="Run: mod209 down, then mod209 up.",
            )
        time.sleep(0.005)


def _wait_known(name: str, kube: Kube, newcomers: Newcomers) -> None:
    """Wait until the authorizer, which has caches of its own, knows the binding and the role that were written last."""
    last = max(platform().namespaces)
    for group, ask in (
        (newcomers.team, ask_of("create", "pods", last)),
        (JUDGES_GROUP, ask_of("impersonate", "groups", name=newcomers.team)),
    ):
        body, deadline = review("somebody", [group], ask), time.monotonic() + HEED_SECONDS
        while not kube.client.post(REVIEWS, json=body).raise_for_status().json()["status"]["allowed"]:
            if time.monotonic() > deadline:
                raise FootprintError(f"{name} does not heed who may ask now.", hint="Run: mod209 down, then mod209 up.")
            time.sleep(0.005)


def _stored(item: objects.Object) -> bytes:
    """A new object as it lies in etcd."""
    return etcd_state.stored(item | {"metadata": item["metadata"] | etcd_state.born()})


def _text(key: bytes) -> str:
    return key.decode(errors="replace")


def _not_clean(where: str, what: list[str]) -> FootprintError:
    shown = ", ".join(what[:SHOWN]) + (" …" if len(what) > SHOWN else "")
    return FootprintError(
        f"{where} is not at its baseline after the reset: {shown}.", hint="Run: mod209 down, then mod209 up."
    )
