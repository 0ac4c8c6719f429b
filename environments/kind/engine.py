"""The Docker daemon that runs the clusters' nodes: find it, and everything of ours on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from environments.errors import FootprintError, StorageError

FOOTPRINT_LABEL: Final = "mod209.footprint"  # on a network: the directory of the footprint that it belongs to
BUILDING_LABEL: Final = "mod209.building"  # on a container that a node image is made of: the cache of who makes it
CLUSTER_LABEL: Final = "io.x-k8s.kind.cluster"  # kind's own, on every node
REQUEST_SECONDS: Final = 600  # committing a node image takes a busy machine minutes
HINT: Final = "Look what is missing with: mod209 doctor"


@dataclass(frozen=True)
class Leftover:
    """A footprint's network on the daemon: its name, and the directory that its label names."""

    network: str
    directory: str


@contextmanager
def engine() -> Iterator[Any]:
    """A client of the Docker daemon that the environment names (`docker.DockerClient`).

    Raises:
        FootprintError: see `connect` and `failures`.
    """
    client = connect()
    try:
        with failures():
            yield client
    finally:
        client.close()


def connect() -> Any:
    """A client as `engine` gives it; close it.

    Raises:
        FootprintError: the package `docker` is missing, or no daemon answers.
    """
    try:
        import docker  # noqa: PLC0415 - an extra, which provider `local` does without
    except ImportError:
        raise FootprintError(
            "Provider kind needs the Python package docker.", hint="Install it: pip install docker"
        ) from None
    with failures("No Docker daemon answers"):
        client = docker.from_env(timeout=REQUEST_SECONDS)
        client.ping()
    return client


def answers(client: Any) -> bool:
    """Whether the daemon still does."""
    with suppress(FootprintError, StorageError), failures():
        return bool(client.ping())
    return False


@contextmanager
def failures(what: str = "Docker failed") -> Iterator[None]:
    """Make the daemon's errors ours: it refuses, or dies in the middle.

    Raises:
        FootprintError: `what`, and why.
        StorageError: the daemon's disk is full.
    """
    from docker.errors import DockerException  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415 - as what a daemon's end shows, or as one of the next
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except (DockerException, RequestException, HTTPError) as error:
        reason = _short(error)
        if "no space left on device" in reason:
            raise StorageError(
                "The disk of the Docker daemon is full.", hint="Free some space. What Docker holds: docker system df"
            ) from None
        gone = not isinstance(error, DockerException)
        sentence = "The Docker daemon does not answer any more" if gone else what
        raise FootprintError(f"{sentence}: {reason}.", hint=HINT) from None


def leftovers(client: Any) -> list[Leftover]:
    """All footprints that have a network on the daemon, running or not."""
    found = client.networks.list(filters={"label": FOOTPRINT_LABEL})
    return [Leftover(one.name, (one.attrs.get("Labels") or {}).get(FOOTPRINT_LABEL, "")) for one in found]


def add_network(client: Any, name: str, labels: Mapping[str, str]) -> None:
    """A network of a footprint's own, which kind then finds and uses."""
    client.networks.create(name, driver="bridge", check_duplicate=True, labels=dict(labels))


def nodes(client: Any, network: str) -> list[Any]:
    """The containers of a footprint's clusters, half-made ones too. A cluster's name begins with its network's."""
    found = client.containers.list(all=True, filters={"label": CLUSTER_LABEL}, ignore_removed=True)
    return [one for one in found if one.labels[CLUSTER_LABEL].startswith(f"{network}-")]


def _short(error: Exception) -> str:
    """The innermost reason, in one line; the outer ones are Python's business."""
    reason: BaseException = error
    while reason.__cause__ or reason.__context__:
        reason = reason.__cause__ or reason.__context__ or reason
    return " ".join(str(reason).split())[:200].rstrip(".")
