"""What a batch tells its workers, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from environments.errors import BadInputError
from environments.labspec import load_lab
from environments.yamlfile import Strict
from graders.cage import Limits, cage_named
from graders.grading import Setting
from graders.probeset import load_all

FOOTPRINT: Final = "footprint"  # the resource of which a worker that may grade has one


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """A Dask scheduler that runs already; `ca`, `cert` and `key` are PEM files."""

    address: str
    ca: Path
    cert: Path
    key: Path


def scheduler_at(address: str, folder: Path) -> Scheduler:
    """The scheduler at `tls://HOST:PORT`, with `ca.pem`, `cert.pem` and `key.pem` of a folder.

    Raises:
        BadInputError: it is no address for TLS, or a file is not there.
    """
    if not address.startswith("tls://"):
        raise BadInputError(
            f"{address} is not an address for TLS.",
            hint="Name it as tls://HOST:PORT. Who can speak to a scheduler without certificates can run code as grader.",
        )
    files = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise BadInputError(
            f"There is no {', '.join(missing)}.", hint="Name the folder of the scheduler's certificates by --tls."
        )
    return Scheduler(address=address, **files)


class Posting(Strict):
    """What a worker is told once for a whole batch: paths and names, nothing secret."""

    course: Path
    lab: str
    provider: str = "local"
    engine: str = ""
    cage: str
    limits: Limits

    def setting(self) -> Setting:
        """What it stands for.

        Raises:
            BadInputError: the worker does not see the course's files.
        """
        spec = load_lab(self.course, self.lab)
        probes = load_all(self.course, spec)
        return Setting(
            course=self.course,
            spec=spec,
            probes=probes,
            cage=cage_named(self.cage),
            provider=self.provider,
            engine=self.engine,
            limits=self.limits,
        )
