"""What every provider does alike inside of its supervisor: bring clouds and Vault to the baseline, give access, reset, settle."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import httpx

from environments.access import UNASKED, Access, CloudAccess, Role, VaultAccess, WorkbenchAccess, write_access
from environments.baseline import objects, people
from environments.baseline import vault as baseline_vault
from environments.cleanroom import vault, vault_audit
from environments.cleanroom.baseline import Baseline, timed
from environments.cleanroom.bootstrap import Kube
from environments.cleanroom.opa import Opa
from environments.cleanroom.plane import Plane
from environments.cleanroom.vault import Vault
from environments.errors import FootprintError
from environments.labspec import Capability
from environments.params import LearnerParams
from environments.pki import Authority
from environments.supervisor.ports import Ports
from environments.supervisor.process import Child, Command, tail
from environments.workbench.command import Bench

Progress = Callable[[str], None]
PAGE_BYTES = 4096


class ServedFootprint(ABC):
    """All servers of one footprint. Create, `start`, use, `stop`; start only from the main thread.

    A provider plans its clouds (`_planes`, `_opas`), Vault and workbench when it is made, and starts them in `_boot`.
    """

    provider: ClassVar[str]
    _planes: Mapping[str, Plane]
    _opas: Mapping[str, Opa]
    _vault: Vault
    _bench: Bench
    _authority: Authority

    def __init__(self, directory: Path, lab: str, params: LearnerParams, binaries: dict[str, Path]) -> None:
        self.directory = directory
        self.lab = lab
        self.params = params
        self._binaries = binaries
        self._ports = Ports()
        self._children: list[Child] = []
        self._clients = ExitStack()
        self._seeds = baseline_vault.draw()
        self.without = dict(UNASKED)

    @abstractmethod
    def _boot(self, progress: Progress) -> None:
        """Start all servers and set them up; what it started, `stop` stops."""

    @abstractmethod
    def _new_vault(self) -> None:
        """Put an empty Vault in the place of the one that runs, and wait until it answers; its audit log goes on."""

    def _states(self) -> dict[str, dict[str, Any]]:
        """`{name: {"pid", "state", "rss_bytes"}}` of servers that are no child processes."""
        return {}

    def _take_away(self) -> None:  # noqa: B027 - `local` has none
        """Remove what is no child process."""

    def start(self, progress: Progress) -> None:
        """Start all servers, bring them to the baseline and remember it.

        Raises:
            FootprintError: a server failed; what had started is stopped again.
        """
        (self.directory / "logs").mkdir(exist_ok=True)
        try:
            self._boot(progress)
            self._baseline = Baseline(self._planes, self._opas, self._vault_client, self._seeds, self._clients)
            self._arm()
        except httpx.HTTPError as error:
            told = self._explained(error)
            self.stop()
            raise told from error
        except BaseException:
            self.stop()
            raise

    def _explained(self, error: httpx.HTTPError) -> FootprintError:
        """What a server that did not answer was asked, and which have ended, with the ends of their logs."""
        ended = [child for child in self._children if child.exited() is not None]
        logs = "".join(f"\n{child.name} exited with status {child.exited()}:\n{tail(child.log)}" for child in ended)
        return FootprintError(
            f"Setting up failed at {error.request.method} {error.request.url}: {type(error).__name__}: {error}{logs}",
            hint="Run the same command again.",
        )

    def stop(self) -> None:
        """Stop everything in reverse order: API servers before their etcd, which they would wait for forever."""
        self._clients.close()
        while self._children:
            self._children.pop().stop()
        self._take_away()
        self._ports.release()

    def status(self) -> dict[str, Any]:
        """`{"servers": {name: {"pid", "state", "rss_bytes"}}, "ready", "rss_bytes", "clouds", "vault", "without"}`.

        `without` is as in `Access`. A server's state is `running`, or says in what other it is.
        """
        servers = self._states() | {child.name: server_status(child) for child in self._children}
        return {
            "servers": servers,
            "ready": all(server["state"] == "running" for server in servers.values()),
            "rss_bytes": sum(server["rss_bytes"] for server in servers.values()),
            "clouds": {name: plane.server for name, plane in self._planes.items()},
            "vault": self._vault.endpoint.url,
            "without": self.without,
        }

    def access(self, role: Role, needs: Collection[Capability] | None = None) -> Access:  # noqa: ARG002 - all is there
        """Endpoints and new credentials for `role`, good for all that it `needs`; None is everything."""
        operator = role == "operator"
        newcomers = people.draw()
        if not operator:
            self._baseline.admit(newcomers)
        clouds = {}
        for name, plane in self._planes.items():
            pair = plane.operator if operator else plane.judge
            clouds[name] = CloudAccess(
                server=plane.server,
                ca=plane.ca,
                cert=pair.cert,
                key=pair.key,
                issuer=plane.issuer,
                people=[] if operator else people.people(newcomers, plane.operator.cert),
            )
        token = (
            baseline_vault.operator_token(self._vault_client)
            if operator
            else baseline_vault.judge_token(self._vault_client)
        )
        bench = WorkbenchAccess(address=self._bench.url, ca=self._authority.cert, token=self._bench.token())
        return Access(
            role=role,
            provider=self.provider,
            lab=self.lab,
            clouds=clouds,
            vault=VaultAccess(address=self._vault.endpoint.url, ca=self._vault.ca, token=token),
            workbench=bench if operator else None,
            reach=str(self._binaries.get("reach", "")),
            params=self.params,
            incidents=dict(self._seeds.incidents),
            rehearsal=None if operator else self._bench.record(),
            without=self.without,
        )

    def reset(self, only: str | None, params: LearnerParams | None) -> dict[str, Any]:
        """Bring everything (or the part `only`) back to the baseline, prove it, and arm it anew; see `Baseline.reset`."""
        began = time.monotonic()
        self.params = params or self.params
        spoilt = vault_audit.deeds(self._vault.audit_log, self._audited)
        report = self._baseline.reset(only)
        if renewed := "vault" in report and (report["vault"] is None or bool(spoilt)):
            self._renew_vault()
            report["vault"] = self._baseline.adopt_vault(self._vault_client)
        if "vault" in report:
            report["vault"]["renewed"] = renewed
        if only in (None, "vault"):  # the operator's old token is gone
            self._arm()
        return timed({"part": only or "all", **report}, began)

    def settle(self) -> dict[str, Any]:
        """After a learner's run and before the judge; see `Baseline.settle`."""
        began = time.monotonic()
        self._bench.renew_token()
        self._bench.end_watch()
        report = self._baseline.settle()
        report["tampered"] += [f"vault: {deed}" for deed in vault_audit.deeds(self._vault.audit_log, self._audited)]
        return timed(report, began)

    def _spawn(self, command: Command) -> Child:
        child = Child(command, self.directory / "logs" / f"{command.name.replace('/', '-')}.log")
        self._children.append(child)
        return child

    def _set_up_cloud(self, name: str) -> None:
        plane, agent = self._planes[name], self._opas[name]
        with plane.keeper.client(timeout=30.0) as client:
            kube = Kube(client)
            kube.create_all(objects.namespaces())
            kube.create_all(objects.contents(agent.webhook_url, agent.ca))

    def _set_up_vault(self) -> None:
        client = self._vault.endpoint.client(timeout=30.0)
        self._vault_client: httpx.Client = self._clients.enter_context(client)
        client.headers["X-Vault-Token"] = vault.unseal_new(client)
        baseline_vault.set_up(client, self._vault.audit_path, self._seeds)

    def _renew_vault(self) -> None:
        """Put a new Vault in the place of one that was taken over."""
        self._new_vault()
        self._set_up_vault()

    def _arm(self) -> None:
        self._audited = vault_audit.length(self._vault.audit_log)
        self._bench.arm_watch(baseline_vault.watch_token(self._vault_client))
        write_access(self.directory / "operator.json", self.access("operator"))
        self._baseline.arm(self.params)  # last: a policy of the learner's own can stop it, and they need the new access


def server_status(child: Child) -> dict[str, Any]:
    """What `status` says of a child process: `{"pid", "state", "rss_bytes"}`."""
    status = child.exited()
    state = "running" if status is None else f"exited ({status})"
    return {"pid": child.pid, "state": state, "rss_bytes": rss_bytes(child.pid) if status is None else 0}


def rss_bytes(pid: int) -> int:
    """Resident memory of a process; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * PAGE_BYTES
