"""Provider `kind`: three clusters of one node each, with OPA on each and Vault on the first. Lives inside the supervisor."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from environments.access import Access, Role, WaysAccess
from environments.cleanroom import etcd_state, vault
from environments.cleanroom.footprint import Progress, ServedFootprint
from environments.errors import CourseError, FootprintError
from environments.kind import images, manifests, ways
from environments.kind.clusters import HOLD, SCHEDULERS, Clusters, Furnisher, on_node, place
from environments.kind.crew import enlist, wait_enforced
from environments.kind.engine import FOOTPRINT_LABEL, add_network, answers, connect, failures
from environments.kind.falco import Watch
from environments.kind.health import answering, is_new, pods_ready
from environments.kind.logs import Follower
from environments.kind.node import Node, Ports, plan
from environments.kind.policyengines import Installed
from environments.kind.policyengines.install import install, waiter
from environments.kind.prepared import Prepared
from environments.kind.removal import remove
from environments.kind.runtime import NAME as FALCO
from environments.kind.undertaker import Undertaker
from environments.labspec import Capability
from environments.params import LearnerParams
from environments.pki import Authority
from environments.platform import platform
from environments.probes.ways import is_open
from environments.supervisor.process import wait_ready
from environments.toolchain import resolve
from environments.workbench import command as workbench

READY_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.2
ON_EACH: Final = ("opa", "ways")
LOADED: Final = (*ON_EACH, "vault")


class KindFootprint(ServedFootprint):
    """A footprint of containers, in which pods run; in a `held` one, only the judge's and those of the clusters themselves."""

    provider = "kind"

    def __init__(
        self,
        directory: Path,
        lab: str,
        params: LearnerParams,
        binaries: dict[str, Path],
        own: Prepared,
        *,
        held: bool,
    ) -> None:
        super().__init__(directory, lab, params, binaries)
        self._image = own.image
        self._engine = own.engine
        self._falco = own.falco
        self._watch: Watch | None = None
        self._held = held
        self._network = f"mod209-{secrets.token_hex(3)}"
        self._undertaker: Undertaker | None = None
        self._clusters: Clusters | None = None
        self._furnishers: list[Furnisher] = []
        self._followers: list[Follower] = []
        self._given_up = threading.Event()
        self._renewals = 0
        self._tools = resolve(LOADED)
        self._plan(own.lab_config)

    def _plan(self, lab_config: dict[str, Any]) -> None:
        port, self._home = self._ports.reserve, next(iter(platform().clouds))
        self._authority = Authority("mod209 platform")
        self._nodes: dict[str, Node] = {}
        for name in platform().clouds:
            ports = Ports(
                apiserver=port(), etcd=port(), opa=port(), ways=port(), vault=port() if name == self._home else 0
            )
            folder = self.directory / name
            self._nodes[name] = plan(name, f"{self._network}-{name}", folder, ports, lab_config, self._engine)
            if name == self._home:
                self._vault = vault.plan(
                    folder / "node" / "vault",
                    ports.vault,
                    self._authority,
                    listen=f"0.0.0.0:{manifests.VAULT_PORT}",
                    seen_as=Path(manifests.NODE_FOLDER) / "vault",
                )
        self._planes = {name: node.plane for name, node in self._nodes.items()}
        self._opas = {name: node.opa for name, node in self._nodes.items()}
        keepers = {name: agent.keeper for name, agent in self._opas.items()}
        bench, vault_api = self.directory / "workbench", self._vault.endpoint
        self._bench = workbench.plan(bench, port(), self._binaries, keepers, vault_api, self._authority)

    def _take_away(self) -> None:
        """Clusters and their network."""
        for follower in self._followers:
            follower.end()
        self._give_up()
        if self._undertaker:
            try:
                with failures():
                    remove(self._docker, self._network)
            except CourseError as error:  # a daemon that has died; the next start sweeps
                print(error.message, file=sys.stderr)
            self._docker.close()
            self._undertaker.dismiss()
            self._undertaker = None

    def access(self, role: Role, needs: Collection[Capability] | None = None) -> Access:
        """As on every provider; judges of traffic also get a crew of pods, newly cast, between which connections are tried.

        Operators' self-checks ask the model instead: it answers at once, and pods need a minute and half a gigabyte.
        """
        access = super().access(role)
        if role != "judge" or (needs is not None and "traffic" not in needs):
            return access
        with ThreadPoolExecutor(len(self._nodes)) as pool:
            found = dict(zip(self._nodes, pool.map(_mustered, self._nodes.values()), strict=True))
        clouds = {name: cloud.model_copy(update={"ways": found[name]}) for name, cloud in access.clouds.items()}
        return access.model_copy(update={"clouds": clouds})

    def _give_up(self) -> None:
        """End all that is under way in other threads and processes."""
        self._given_up.set()
        for furnisher in self._furnishers:
            furnisher.stop()
        if self._clusters:
            self._clusters.stop()

    def _states(self) -> dict[str, dict[str, Any]]:
        """A node's memory is that of all that runs in it."""
        with failures():
            servers = {f"{name}/node": self._node_status(node) for name, node in self._nodes.items()}
        for name, plane in self._planes.items():
            servers[f"{name}/kube-apiserver"] = answering(plane.keeper.answers("/readyz"))
            servers[f"{name}/etcd"] = answering(plane.etcd.answers("/readyz"))
            servers[f"{name}/opa"] = answering(self._opas[name].keeper.answers("/health"))
        servers["vault"] = answering(vault.is_running(self._vault.endpoint))
        for name, is_well in self._watch.states().items() if self._watch else ():
            servers[f"{name}/{FALCO}"] = answering(is_well)
        return servers

    def _node_status(self, node: Node) -> dict[str, Any]:
        from docker.errors import NotFound  # noqa: PLC0415 - an extra

        try:
            container = self._docker.containers.get(node.container)
        except NotFound:  # somebody removed it
            return {"pid": 0, "state": "gone", "rss_bytes": 0}
        about = container.attrs["State"]
        memory = container.stats(stream=False, one_shot=True).get("memory_stats", {})
        files = memory.get("stats", {})
        cached = files.get("total_inactive_file", files.get("inactive_file", 0))
        return {
            "pid": about["Pid"],
            "state": "running" if about["Running"] else f"exited ({about['ExitCode']})",
            "rss_bytes": max(0, memory.get("usage", 0) - cached),
        }

    def _boot(self, progress: Progress) -> None:
        """Clusters side by side; on each, OPA and Vault start as soon as their images are there."""
        archives = {name: images.archive(tool) for name, tool in self._tools.items()}
        self._docker = connect()
        self._undertaker = Undertaker(self._network)
        with failures():
            add_network(self._docker, self._network, {FOOTPRINT_LABEL: str(self.directory)})
        nodes = list(self._nodes.values())
        kind = self._binaries["kind"]
        logs, asked = self.directory / "logs", partial(answers, self._docker)
        self._clusters = Clusters(kind, self._image, self._network, nodes, logs, asked)
        self._furnishers = [Furnisher(self._docker, node) for node in nodes]
        self._watch = Watch(self._docker, self._falco, self.directory / "logs") if self._falco else None
        with ThreadPoolExecutor(8) as pool:
            work: list[Future[None]] = []
            try:
                furnished: dict[str, Future[None]] = {}
                more = [self._engine.archive] if self._engine else []
                for node, furnisher in zip(nodes, self._furnishers, strict=True):
                    servers = {name: (archives[name], self._pod(name)) for name in self._servers(node.plane.name)}
                    furnished[node.plane.name] = pool.submit(furnisher.furnish, servers, more)
                work += furnished.values()

                def made(node: Node) -> None:
                    progress(f"{node.plane.name}: the cluster is there")
                    if self._watch:
                        self._watch.start(node)
                    work.append(pool.submit(self._finish, node.plane.name, furnished[node.plane.name], progress))

                work.append(pool.submit(self._begin_vault, furnished[self._home], progress))
                self._clusters.wait(made, lambda: _raise_failed(work))
                wait_ready([self._spawn(self._bench.command)])
                for future in work:
                    future.result()
            except BaseException:
                self._give_up()  # or the pool would wait for all of them
                raise
        self._settle_watch(progress)

    def _settle_watch(self, progress: Progress) -> None:
        """Keep Falco where it is well; the rest does without it."""
        if self._watch is None:
            return
        if reason := self._watch.settle():
            self._watch, self.without = None, {"runtime": reason}
            progress(f"runtime: not available: {reason}")
            return
        for name in self._nodes:
            self._follow(name, FALCO)
        progress("falco is ready")

    def _servers(self, cloud: str) -> tuple[str, ...]:
        """What of ours runs on the node of a cloud."""
        return LOADED if cloud == self._home else ON_EACH

    def _follow(self, cloud: str, server: str) -> None:
        node, name = self._nodes[cloud], server if server == "vault" else f"{cloud}-{server}"
        log = self.directory / "logs" / f"{name}.log"
        self._followers.append(Follower(node.plane.keeper, f"{server}-{node.container}", log))
        self._followers[-1].start()

    def _pod(self, name: str) -> manifests.Object:
        image = images.reference(name, self._tools[name].version)
        match name:
            case "vault":
                return manifests.vault(image, self._renewals)
            case "ways":
                return ways.pod(image)
            case _:
                return manifests.opa(image)

    def _begin_vault(self, furnished: Future[None], progress: Progress) -> None:
        furnished.result()  # what its node takes to come up is not Vault's time
        self._await(lambda: vault.is_running(self._vault.endpoint), "Vault does not start")
        self._set_up_vault()
        progress("vault is ready")

    def _finish(self, name: str, furnished: Future[None], progress: Progress) -> None:
        furnished.result()
        agent = self._opas[name]
        self._await(lambda: agent.keeper.answers("/health"), f"OPA does not start on {name}")
        for server in self._servers(name):
            self._follow(name, server)
        self._set_up_cloud(name)
        if self._engine:
            self._install(name, self._engine)
        self._await_calm(name)
        if self._held:
            self._hold(name)
        progress(f"{name} is ready")

    def _install(self, name: str, engine: Installed) -> None:
        with self._planes[name].keeper.client(timeout=30.0) as keeper:
            install(keeper, name, engine)
            self._await(waiter(keeper, engine), f"{engine.name} does not start on {name}")

    def _await_calm(self, name: str) -> None:
        """Wait until controllers have made all that they make of what is there: only then it is a baseline."""
        plane = self._planes[name]
        with plane.etcd.client(timeout=30.0) as client, plane.keeper.client(timeout=30.0) as keeper:
            self._await(lambda: pods_ready(keeper, but=FALCO), f"The pods of {name} do not get ready")
            last = [etcd_state.dump(client, plane.volatile)]

            def calm() -> bool:
                before, now = last[0], etcd_state.dump(client, plane.volatile)
                last[0] = now
                return not before.changed(now)

            self._await(calm, f"{name} does not come to rest", every=1.0)

    def _hold(self, name: str) -> None:
        """From now on nothing starts on a cloud but what we write there ourselves: the scheduler has ended."""
        node = self._nodes[name]
        on_node(self._docker, node, HOLD)
        self._await(lambda: not on_node(self._docker, node, SCHEDULERS), f"The scheduler of {name} does not end")

    def _await(self, what: Callable[[], bool], failing: str, every: float = POLL_SECONDS) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not what():
            if self._given_up.wait(every) or time.monotonic() > deadline:
                raise FootprintError(f"{failing}.", hint="The machine may be overloaded. Look with: mod209 doctor")

    def _new_vault(self) -> None:
        """The kubelet ends a static pod whose file has changed, and starts the new one."""
        self._renewals += 1
        with self._vault.endpoint.client(timeout=5.0) as client:
            place(self._docker, self._nodes[self._home], "vault", self._pod("vault"))
            self._await(lambda: is_new(client), "No new Vault starts")


def _mustered(node: Node) -> WaysAccess:
    """How to try connections on a cloud, with its crew in place and all policies in force."""
    with node.plane.keeper.client(timeout=30.0) as keeper, node.plane.etcd.client(timeout=30.0) as etcd:
        crew = enlist(keeper, etcd, node.container)
        wait_enforced(etcd, crew, partial(is_open, node.ways))
    return node.ways.model_copy(update={"ends": dict(crew.ends)})


def _raise_failed(work: Iterable[Future[None]]) -> None:
    for future in work:
        if future.done():
            future.result()
