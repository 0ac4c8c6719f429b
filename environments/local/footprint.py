"""Provider `local`: three clouds and a Vault as child processes. Lives inside the supervisor; `environments.footprint` is its client."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from environments.cleanroom.footprint import Progress, ServedFootprint
from environments.local import control_plane, opa, vault
from environments.params import LearnerParams
from environments.pki import Authority
from environments.platform import platform
from environments.supervisor.process import Child, wait_ready
from environments.workbench import command as workbench


class LocalFootprint(ServedFootprint):
    """A footprint on this machine, without containers."""

    provider = "local"
    _planes: dict[str, control_plane.ControlPlane]
    _opas: dict[str, opa.LocalOpa]
    _vault: vault.LocalVault

    def __init__(self, directory: Path, lab: str, params: LearnerParams, binaries: dict[str, Path]) -> None:
        super().__init__(directory, lab, params, binaries)
        port, binaries = self._ports.reserve, self._binaries
        self._authority = Authority("mod209 platform")
        self._opas = {
            name: opa.plan(name, self.directory / name, port(), binaries["opa"]) for name in platform().clouds
        }
        self._planes = {}
        for name, agent in self._opas.items():
            ports = control_plane.Ports(etcd=port(), etcd_peer=port(), apiserver=port(), opa=agent.port)
            self._planes[name] = control_plane.plan(name, self.directory / name, ports, binaries, agent.webhook)
        self._vault = vault.plan(self.directory / "vault", port(), binaries["vault"], self._authority)
        endpoints = {name: agent.keeper for name, agent in self._opas.items()}
        folder, vault_api = self.directory / "workbench", self._vault.endpoint
        self._bench = workbench.plan(folder, port(), binaries, endpoints, vault_api, self._authority)

    def _boot(self, progress: Progress) -> None:
        """Each server starts as soon as what it needs is healthy; set-up runs beside the waiting."""
        commands = [plane.etcd_command for plane in self._planes.values()] + [self._vault.command]
        commands += [agent.command for agent in self._opas.values()] + [self._bench.command]
        with ThreadPoolExecutor(8) as pool:
            work: list[Future[None]] = []

            def ready(child: Child) -> list[Child]:
                progress(f"{child.name} is ready")
                cloud, _, server = child.name.partition("/")
                if server == "kube-apiserver":
                    work.append(pool.submit(self._set_up_cloud, cloud))
                elif child.name == "vault":
                    work.append(pool.submit(self._set_up_vault))
                return [self._spawn(self._planes[cloud].apiserver_command)] if server == "etcd" else []

            wait_ready([self._spawn(command) for command in commands], ready)
            for future in work:
                future.result()

    def _new_vault(self) -> None:
        (old,) = [child for child in self._children if child.name == "vault"]
        old.stop()
        self._children.remove(old)
        wait_ready([self._spawn(self._vault.command)])
