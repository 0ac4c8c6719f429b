"""The lab as a notebook sees it: clouds, workloads, Vault, and the ways to apply and check one's work."""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from environments.access import Access, read_access
from environments.baseline.cohort import Row, rows
from environments.course import access_file, course_dir
from environments.errors import BadInputError
from environments.lab import lint as linting
from environments.lab.apply import Applied, apply_files
from environments.lab.cloud import Cloud
from environments.lab.credentials import PemFolder
from environments.lab.guide import Hint, Hints, load_guides
from environments.lab.vault import connect, log_in
from environments.lab.watch import Leak, Watch, leak_of
from environments.labspec import LabSpec, load_lab
from environments.platform import Flow, Workload, platform
from environments.rights import Need

if TYPE_CHECKING:
    import hvac

    from environments.lab.report import CheckReport
    from environments.widgets.matrix import Matrix
    from environments.widgets.panel import Panel
    from environments.widgets.progress import Progress

ADMISSION_SETTLES_SECONDS = 5.0  # an API server takes up a ValidatingAdmissionPolicy a moment after it is stored


class Lab:
    """One lab on its running footprint.

    Attributes:
        slug: the lab's name, `zero-trust`.
        clouds: the clouds by name.
        workloads: the platform's workloads (`.namespace .account .role .data .policy(cloud) .secret(cloud)`).
        flows: the traffic that the platform needs (`.source .target .port .protocol`), all other is refused.
        needs: who needs what on each cloud (`.who .why .rights .subject`; a right has `.namespaces` and `.rule()`).
        audience: the audience that tokens for Vault must carry; it is this learner's own.
        root: the folder that `policies/` and `manifests/` are in.
    """

    def __init__(self, slug: str, access: Access, root: Path | None = None) -> None:
        self.slug = slug
        self.root = root or Path.cwd()
        self.workloads: list[Workload] = list(platform().workloads)
        self.flows: list[Flow] = platform().needed
        self.needs: list[Need] = list(platform().needs)
        self._hints = Hints()
        self._settled_at = 0.0
        self._connect(access)

    def __repr__(self) -> str:
        return f"<Lab {self.slug}: clouds {', '.join(self.clouds)}; audience {self.audience}>"

    def _connect(self, access: Access) -> None:
        self.access = access
        self.audience = access.params.audience
        self._owner = ExitStack()
        self._pems = PemFolder(self._owner)
        atexit.register(self.close)
        self.clouds = {name: self._open_cloud(name) for name in access.clouds}

    def reopen(self) -> None:
        """Take up the footprint as it is now: a reset gives new credentials, a start new endpoints as well.

        Raises:
            BadInputError: no footprint of this lab is running.
        """
        access = read_access(access_file(self.slug))
        self.close()
        for name in ("vault", "workbench"):
            self.__dict__.pop(name, None)  # made anew when somebody asks for them
        self._connect(access)

    def close(self) -> None:
        """Close all connections; happens by itself when the process ends."""
        self._owner.close()
        atexit.unregister(self.close)

    def cloud(self, name: str) -> Cloud:
        """The cloud called `name`.

        Raises:
            BadInputError: there is none of that name.
        """
        if name not in self.clouds:
            raise BadInputError(f"There is no cloud {name!r}.", hint=f"Clouds: {', '.join(self.clouds)}.")
        return self.clouds[name]

    @cached_property
    def spec(self) -> LabSpec:
        """The lab's tasks, checks and points."""
        return load_lab(course_dir(), self.slug)

    @cached_property
    def vault(self) -> hvac.Client:
        """Vault with the operator's token."""
        return self._vault(self.access.vault.token)

    def vault_login(self, cloud: str, role: str, jwt: str) -> hvac.Client:
        """Log in at `jwt-<cloud>` as `role` with a token of a workload, and get Vault as that workload.

        Raises:
            BadInputError: Vault refuses the login; the message gives its reason.
        """
        return log_in(self._vault(), self.cloud(cloud).name, role, jwt)

    def cohort(self, cloud: str) -> list[Row]:
        """The rows of ZT-7's table as they were delivered to a cloud, in plain text, whatever is stored there by now.

        Raises:
            BadInputError: there is no cloud of that name.
        """
        return rows(self.access.params, self.cloud(cloud).name)

    @cached_property
    def workbench(self) -> linting.Workbench:
        """The service that lints policies and loads Rego.

        Raises:
            BadInputError: these credentials are not an operator's.
        """
        if self.access.workbench is None:
            raise BadInputError("These credentials may not load policies.", hint="Use the operator's access file.")
        return linting.Workbench(self.access.workbench, self._owner)

    def lint(self, files: Mapping[str, str]) -> list[linting.Problem]:
        """Problems of policies and manifests (file name -> text), each with its line; an empty list is good news."""
        return linting.lint(files, self.workbench)

    def apply(self, *paths: str | Path) -> Applied:
        """Apply files or folders; without any, all of `policies/*.rego`, `policies/*.hcl` and `manifests/*.yaml`.

        Rego: the files of one call replace all that was loaded before, on every cloud. HCL: `policies/<x>.hcl` becomes
        the Vault policy `ml-<x>`. YAML: each object is applied on every cloud.

        Raises:
            BadInputError: a file has an error or is refused; with file and line.
            FootprintError: a server does not answer.
        """
        applied = apply_files(self, self.root, paths)
        if applied.admission_changed:
            self._settled_at = time.monotonic() + ADMISSION_SETTLES_SECONDS
        return applied

    def leak(self, cloud: str) -> Leak:
        """What the incident report says about `cloud`: `.secret_id`, `.fingerprint` and the push jobs' `.certificates`.

        Raises:
            BadInputError: there is no such cloud.
        """
        return leak_of(self.access.incidents[self.cloud(cloud).name])

    def watch(self) -> Watch:
        """Clients that work with the push credentials of all clouds while the context lasts, a minute at most.

        Raises:
            BadInputError: these credentials are not an operator's.
        """
        if self.access.workbench is None:
            raise BadInputError("These credentials may not watch.", hint="Use the operator's access file.")
        return Watch(self.access.workbench)

    def check(self, name: str) -> CheckReport:
        """Ask the footprint the visible questions of a task (`ZT-1`) or of one check (`ZT-1.2`).

        What fails is in the table that the report shows; this raises only for names that do not exist.

        Raises:
            BadInputError: the lab has no such task or check.
        """
        from environments.lab.selfcheck import run_check  # noqa: PLC0415 - only who uses it pays for it

        report = run_check(self, name)
        while not report.ok and time.monotonic() < self._settled_at:
            report = run_check(self, name)
        return report

    def hint(self, check: str) -> Hint:
        """The next hint about a check (`ZT-1.3`): three in all, each more concrete, and none costs points.

        Raises:
            BadInputError: the lab has no such check, or no hints about it.
        """
        from environments.lab.selfcheck import find_checks  # noqa: PLC0415 - only who uses it pays for it

        task, (found, *others) = find_checks(self.spec, check)
        guide = load_guides(course_dir(), self.slug, task.id).get(found.id)
        if others:
            raise BadInputError("Hints are about one check.", hint=f'Ask for one, like lab.hint("{found.id}").')
        if guide is None:
            raise BadInputError(f"There are no hints about {found.id}.", hint="Read the lesson of its notebook again.")
        return self._hints.next(found.id, guide)

    def panel(self) -> Panel:
        """The footprint: health, logs, start, stop and reset."""
        from environments.widgets.panel import Panel  # noqa: PLC0415 - only who uses it pays for it

        return Panel(self, access_file(self.slug).parent)

    def matrix(self) -> Matrix:
        """All visible questions: each task on each cloud."""
        from environments.widgets.matrix import Matrix  # noqa: PLC0415 - only who uses it pays for it

        return Matrix(self, access_file(self.slug).parent / "logs")

    def progress(self) -> Progress:
        """Tasks, points and minutes."""
        from environments.widgets.progress import Progress  # noqa: PLC0415 - only who uses it pays for it

        return Progress(self)

    def _open_cloud(self, name: str) -> Cloud:
        params = self.access.params
        return Cloud(name, self.access.clouds[name], params.clouds[name], params.audience, self._owner)

    def _vault(self, token: str = "") -> hvac.Client:
        ca = self._pems.file("vault-ca.pem", self.access.vault.ca)
        client = connect(self.access.vault.address, ca, token)
        self._owner.callback(client.adapter.close)
        return client


def open_lab(slug: str) -> Lab:
    """Open the lab `slug` on its running footprint, and give the notebook the magic `%%artifact`.

    Raises:
        BadInputError: no footprint of that lab is running, or its access file is damaged.
    """
    access = read_access(access_file(slug))
    if access.lab != slug:
        raise BadInputError(
            f"The footprint is of the lab {access.lab!r}, not {slug!r}.", hint=f"Start it with: mod209 up {slug}"
        )
    lab = Lab(slug, access)
    _enter_notebook(lab)
    return lab


def _enter_notebook(lab: Lab) -> None:
    """Where IPython runs, give it the magic and plain error messages. IPython is imported only if it runs already."""
    if "IPython" in sys.modules:
        from environments.lab.magic import register  # noqa: PLC0415 - only who uses it pays for it

        register(lab)
