"""Get a tool from its publisher's release, or from a mirror that serves the publishers' layout.

The publisher's file of SHA-256 sums is fetched from the same place as the binary (unless sums are pinned in
`tools.yaml`): that guards against damage on the way and against a tampered asset, not against a publisher or a mirror
that lies in both files. Point `MOD209_TOOLS` and `MOD209_RELEASES` only at a mirror you trust.
"""

from __future__ import annotations

import gzip
import hashlib
import queue
import re
import shutil
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import httpx

from environments.toolchain.store import storage
from environments.toolchain.task import Task
from environments.toolchain.tool import CancelledError, Source, Stage, Tool, UnavailableError

CONNECT_SECONDS: Final = 5.0
STALL_SECONDS: Final = 10.0
_SUMS_BYTES: Final = 1 << 20
_CHUNK: Final = 1 << 18
_REPORT_SECONDS: Final = 0.1
_SUM_LINE: Final = re.compile(r"([0-9a-fA-F]{64})(?:\s+\*?(?:\./)?(\S+))?\s*")


def download(task: Task, source: Source, base: str | None) -> Tool:
    """Fetch, check, unpack and install the release of a tool.

    Args:
        task: the tool.
        source: what to call this source, `release` or `mirror`.
        base: URL of a mirror that serves `<base>/<publisher's host>/<path>`; None for the publisher.

    Raises:
        UnavailableError: no connection, not there, damaged, or not the right version.
        StorageError: the cache cannot be written.
    """
    release = task.spec.release
    if release is None:
        raise UnavailableError("nobody publishes it, it is our own")
    asset = _address(release.asset, task, base)
    with _client() as client, storage(task.slot.folder):
        wanted = release.sha256.get(task.arch) or _published_sum(
            client, task, _address(release.checksums, task, base), asset
        )
        with task.slot.partial() as fetched, task.slot.partial() as binary:
            _save(client, task, asset, fetched, wanted)
            if release.member is None:
                return task.accept(fetched, source=source, origin=asset)
            _unpack(fetched, asset, _filled(release.member, task), binary)
            return task.accept(binary, source=source, origin=asset)


def sum_in(text: str, name: str) -> str | None:
    """The SHA-256 sum of `name` in a checksum file: lines `SUM  NAME`, or one bare sum."""
    found = [line.groups() for line in map(_SUM_LINE.fullmatch, text.splitlines()) if line]
    for value, listed in found:
        if listed == name:
            return str(value).lower()
    bare = len(found) == 1 and found[0][1] is None
    return str(found[0][0]).lower() if bare else None


def _client() -> httpx.Client:
    timeout = httpx.Timeout(CONNECT_SECONDS, read=STALL_SECONDS)
    try:
        return httpx.Client(timeout=timeout, follow_redirects=True)
    except (OSError, ValueError) as error:  # a proxy or a file of certificates that the environment names wrongly
        raise UnavailableError(f"this machine's settings for proxies or certificates do not work: {error}") from None


def _filled(template: str, task: Task) -> str:
    return template.format(version=task.spec.version, arch=task.arch)


def _address(template: str, task: Task, base: str | None) -> str:
    address = _filled(template, task)
    if base is None:
        return address
    parts = urlsplit(address)
    return f"{base.rstrip('/')}/{parts.netloc}{parts.path}"


def _published_sum(client: httpx.Client, task: Task, address: str, asset: str) -> str:
    text = bytearray()
    with _opened(client, address, task) as response:
        for chunk in response.iter_bytes(_CHUNK):
            text += chunk
            if len(text) > _SUMS_BYTES:
                raise UnavailableError(f"{address} is too large for a file of checksums")
    name = asset.rpartition("/")[2]
    found = sum_in(text.decode(errors="replace"), name)
    if found is None:
        raise UnavailableError(f"{address} has no checksum of {name}")
    return found


def _save(client: httpx.Client, task: Task, address: str, target: Path, wanted: str) -> None:
    """Save what is at `address`, with a second try when it comes damaged or not whole."""
    for last in (False, True):
        try:
            with _opened(client, address, task) as response, target.open("wb") as stream:
                got = _copy(response, stream, task)
            if got == wanted:
                return
            raise UnavailableError(f"{address} has SHA-256 {got}, but {wanted} is published: refused")
        except UnavailableError:
            if last:
                raise


def _copy(response: httpx.Response, stream: IO[bytes], task: Task) -> str:
    digest, done, told = hashlib.sha256(), 0, 0.0
    total = int(response.headers.get("content-length", 0)) or None
    for chunk in response.iter_bytes(_CHUNK):
        stream.write(chunk)
        digest.update(chunk)
        done += len(chunk)
        if time.monotonic() - told > _REPORT_SECONDS:
            task.report(Stage.DOWNLOADING, done, total)
            told = time.monotonic()
    task.report(Stage.DOWNLOADING, done, total)
    return digest.hexdigest()


@contextmanager
def _opened(client: httpx.Client, address: str, task: Task) -> Iterator[httpx.Response]:
    """A response with status 200 from `address`; whatever goes wrong with it is `UnavailableError`."""
    try:
        response = _send(client, address, task)
        try:
            _check(response, address)
            yield response
        finally:
            response.close()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"{address}: {str(error) or type(error).__name__}") from None


def _check(response: httpx.Response, address: str) -> None:
    if address.startswith("https:") and response.url.scheme != "https":
        raise UnavailableError(f"{address} redirects to a connection without TLS: refused")
    if response.status_code != httpx.codes.OK:
        raise UnavailableError(f"{address} answers {response.status_code}")


def _send(client: httpx.Client, address: str, task: Task) -> httpx.Response:
    """Send a GET with one deadline on getting connected.

    Done in a thread of its own, because no timeout of a socket covers the name lookup, which can hang for half a minute.
    """
    connected = threading.Event()
    answers: queue.SimpleQueue[httpx.Response | Exception] = queue.SimpleQueue()

    def trace(name: str, _: object) -> None:
        if name.endswith("connect_tcp.complete"):
            connected.set()

    def send() -> None:
        try:
            answers.put(client.send(client.build_request("GET", address, extensions={"trace": trace}), stream=True))
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            answers.put(error)

    threading.Thread(target=send, daemon=True).start()
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            answer = answers.get(timeout=_REPORT_SECONDS)
            break
        except queue.Empty:
            if task.cancel.is_set():
                raise CancelledError from None
            if time.monotonic() > deadline and not connected.is_set():
                host = urlsplit(address).hostname
                raise UnavailableError(f"no connection to {host} within {CONNECT_SECONDS:g} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _unpack(archive: Path, address: str, member: str, binary: Path) -> None:
    try:
        if address.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened, opened.open(member) as source, binary.open("wb") as target:
                shutil.copyfileobj(source, target)
        else:
            with tarfile.open(archive, "r:gz") as tar, binary.open("wb") as target:
                shutil.copyfileobj(_regular(tar, member), target)
    except (KeyError, EOFError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile, zlib.error):
        raise UnavailableError(f"{address} is not an archive with {member} in it") from None


def _regular(tar: tarfile.TarFile, member: str) -> IO[bytes]:
    stream = tar.extractfile(member)
    if stream is None:
        raise KeyError(member)
    return stream
