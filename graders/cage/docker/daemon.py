"""This machine's Docker daemon: reached by its socket alone, judged before it is trusted, and its errors as ours."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import docker
from docker.errors import APIError, DockerException, NotFound

from environments.errors import CageError
from graders.cage import slots
from graders.cage.frames import printable

LABEL: Final = "mod209.cage"
_SOCKET: Final = "unix:///var/run/docker.sock"
_OLDEST: Final = "1.41"  # Docker 20.10, the first with cgroup namespaces
_SECONDS: Final = 30.0  # for one answer of the daemon
_HINT: Final = "Look at the daemon's log (journalctl -u docker), then grade again."
_START_HINT: Final = (
    "Start it: systemctl start docker, or .ci/dockerd in the project's folder; or use --cage bubblewrap."
)
_LOCAL_HINT: Final = (
    "Unset DOCKER_HOST, and grade where the daemon runs: cages reach the footprint on its own loopback."
)
_MAPPED_HINT: Final = "Use a daemon that runs as root and without userns-remap, or --cage bubblewrap."
# Modes in which a user in a container is somebody else on the host, so that our own uids would say nothing.
_MAPPED: Final = ("name=userns", "name=rootless")


class Daemon:
    """What cages need of the daemon; every error of it is a `CageError`. For one thread."""

    def __init__(self, api: Any, reach: Callable[[], None]) -> None:
        """Speak through an API client of the `docker` package.

        Args:
            api: The client.
            reach: Raises CageError where nobody listens; the client would leave a socket open each time.
        """
        self._api = api
        self._reach = reach

    def judge(self) -> None:
        """Make sure that what cages rely on is there, as far as the daemon tells; canaries show the rest.

        Raises:
            CageError: It is not.
        """
        with self._asked("tell about itself"):
            facts = self._api.info()
        options = [option.split(",")[0] for option in facts.get("SecurityOptions") or ()]
        if facts.get("OSType") != "linux":
            raise CageError("the Docker daemon does not run Linux containers", hint=_LOCAL_HINT)
        if any(option in _MAPPED for option in options):
            raise CageError("the Docker daemon maps users, so a cage's user would not be its own", hint=_MAPPED_HINT)
        if "name=seccomp" not in options:
            raise CageError("the Docker daemon cannot filter system calls", hint="Use a kernel and runc with seccomp.")

    def has_image(self, tag: str) -> bool:
        """Whether there is an image of this name."""
        with self._asked("look for the cage's image"):
            try:
                self._api.inspect_image(tag)
            except NotFound:
                return False
            return True

    def import_image(self, archive: bytes, name: str, tag: str) -> None:
        """Make an image of one layer from a tar archive; nothing is pulled."""
        with self._asked("make the cage's image"):
            self._api.import_image(io.BytesIO(archive), name, tag, changes=[f"LABEL {LABEL}=image"])

    def create(self, name: str, config: Mapping[str, Any]) -> str:
        """Make a container, not yet started, and return its id; one that a killed grader left under the name goes."""
        self.remove(name)
        with self._asked("make the cage"):
            return str(self._api.create_container_from_config(config, name)["Id"])

    def attach(self, container: str, *streams: str) -> socket.socket:
        """A connection to some of a container's `stdin`, `stdout` and `stderr`; call it before the container starts."""
        with self._asked("connect to the cage"):
            theirs = self._api.attach_socket(container, dict.fromkeys(streams, 1) | {"stream": 1})
            ours = socket.socket(fileno=os.dup(theirs.fileno()))
            theirs._response.close()  # noqa: SLF001  # the client has no other way to give a connection up
        ours.settimeout(None)  # the client's timeouts are for answers, not for runs
        return ours

    def start(self, container: str) -> int:
        """Start a container, and return the host's pid of its first process.

        Raises:
            CageError: It does not start, or its process is not one of this machine's.
        """
        with self._asked("start the cage"):
            self._api.start(container)
            pid = int(self._api.inspect_container(container)["State"]["Pid"])
        with suppress(OSError):
            if container in Path(f"/proc/{pid}/cgroup").read_text():
                return pid
        if not self.runs(container):
            raise CageError("the cage ended before it began", hint=_HINT)
        raise CageError("the Docker daemon's processes are not this machine's", hint=_LOCAL_HINT)

    def runs(self, container: str) -> bool:
        """Whether a container is there and running."""
        with self._asked("tell about the cage"):
            try:
                return bool(self._api.inspect_container(container)["State"]["Running"])
            except NotFound:
                return False

    def ran_out_of_memory(self, container: str, since: float) -> bool:
        """Whether the daemon has seen the kernel kill one of a container's processes for want of memory."""
        wanted = {"container": [container], "event": ["oom"]}
        with self._asked("tell about the cage"):
            return any(True for _ in self._api.events(since=int(since), until=int(time.time()) + 1, filters=wanted))

    def remove(self, container: str) -> None:
        """Kill and remove a container; returns when nothing of it is left, also if there never was one."""
        with self._asked("remove the cage"), suppress(NotFound):
            try:
                self._api.remove_container(container, force=True, v=True)
            except APIError as error:
                if (
                    error.status_code != HTTPStatus.CONFLICT
                ):  # somebody, or the end of the container itself, is removing it
                    raise
                self._api.wait(container, timeout=_SECONDS, condition="removed")

    def sweep(self) -> None:
        """Remove the containers that killed graders left."""
        with self._asked("list cages"):
            found = self._api.containers(all=True, filters={"label": LABEL})
        for one in found:
            with slots.abandoned(one["Labels"][LABEL]) as free:
                if free:
                    self.remove(one["Id"])

    @contextmanager
    def _asked(self, to_do: str) -> Iterator[None]:
        self._reach()
        with _blamed(to_do):
            yield


@contextmanager
def daemon() -> Iterator[Daemon]:
    """A connection to this machine's daemon.

    Raises:
        CageError: There is none, it is not this machine's, or we may not use it.
    """
    where = os.environ.get("DOCKER_HOST") or _SOCKET
    _reach(where)
    # A client that asks for the version by itself leaves its connections open when there is no answer.
    with _blamed("answer"), closing(docker.APIClient(where, _OLDEST, _SECONDS)) as unversioned:
        version = unversioned.version(api_version=False)["ApiVersion"]
    with closing(docker.APIClient(where, version, _SECONDS)) as api:
        yield Daemon(api, partial(_reach, where))


def _reach(where: str) -> None:
    scheme, _, path = where.partition("://")
    if scheme != "unix":
        raise CageError("DOCKER_HOST names a Docker daemon that is not this machine's own socket", hint=_LOCAL_HINT)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_SECONDS)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise CageError(f"we may not use the Docker daemon at {path}", hint="Run it as root.") from error
        except FileNotFoundError as error:
            raise CageError(f"there is no Docker daemon at {path}", hint=_START_HINT) from error
        except OSError as error:
            raise CageError(f"the Docker daemon at {path} does not answer", hint=_START_HINT) from error


@contextmanager
def _blamed(doing: str) -> Iterator[None]:
    """Errors of the daemon, or of the way to it, as ours."""
    try:
        yield
    except (DockerException, OSError, KeyError, TypeError, ValueError) as error:
        said = printable(str(getattr(error, "explanation", None) or error))[:300]
        raise CageError(f"Docker could not {doing}: {said}", hint=_HINT) from error
