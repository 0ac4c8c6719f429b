"""A workload's TLS endpoint, and its caller: real handshakes with certificates of SPIFFE identities on both sides.

Run as a program it is the process that listens: it reads `{name: {cert, key, ca, allow, crl}}` from its standard input,
prints `{name: port}`, and serves on loopback until its input ends. It needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Final, Self

SECONDS: Final = 5.0
LET_IN: Final = b"let in\n"
NOT_LET_IN: Final = b"not let in\n"
ACCEPTED: Final = "accepted"
BY_NAME: Final = "refused by name"
BY_TLS: Final = "refused in the handshake"
BY_CALLER: Final = "refused by the caller"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What one side of a connection holds: certificate chain and key (PEM; empty: none), and whom it trusts (PEM)."""

    cert: str
    key: str = field(repr=False)
    ca: str
    crl: str = ""


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One endpoint: its credentials, and the SPIFFE ids that it lets in."""

    credentials: Credentials
    allow: tuple[str, ...]


class Endpoints:
    """A process of its own that serves all of `listeners`. Use it as a context, or close it.

    Raises:
        OSError: it does not start, or does not take what it was given.
    """

    def __init__(self, listeners: Mapping[str, Listener]) -> None:
        argv = [sys.executable, "-I", "-S", "-B", __file__]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, text=True
        )
        plan = {name: asdict(listener) for name, listener in listeners.items()}
        try:
            self.ports: Mapping[str, int] = self._start(json.dumps(plan))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        with self._process:
            pass

    def _start(self, plan: str) -> Mapping[str, int]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise OSError("the endpoint was started without pipes")
        stdin.write(plan + "\n")
        stdin.flush()
        try:
            ports: dict[str, int] = json.loads(stdout.readline())
        except ValueError:
            raise OSError("the endpoint does not take these credentials") from None
        return ports


def handshake(server: Credentials, client: Credentials, allow: tuple[str, ...], wanted: str) -> str:
    """Start an endpoint, call it once, and tell how that ended: see `call`."""
    with Endpoints({"server": Listener(credentials=server, allow=allow)}) as endpoints:
        return call(endpoints.ports["server"], client, wanted)


def call(port: int, credentials: Credentials, wanted: str) -> str:
    """Call the endpoint at `port`, which must be `wanted` (a SPIFFE id), and ask to be let in.

    Returns:
        `ACCEPTED`, `BY_NAME` (the endpoint knows the caller, and does not want it), `BY_TLS` (it does not believe the
        caller's certificate, or there is none), or `BY_CALLER` (the endpoint is not whom the caller wanted).

    Raises:
        OSError: nobody listens there, or nobody answers.
    """
    context = _client(credentials)
    with socket.create_connection(("127.0.0.1", port), SECONDS) as plain:
        try:
            with context.wrap_socket(plain) as connection:
                if identities(connection) != [wanted]:
                    return BY_CALLER
                return {LET_IN: ACCEPTED, NOT_LET_IN: BY_NAME}.get(connection.recv(64), BY_TLS)
        except ssl.SSLCertVerificationError:
            return BY_CALLER
        except (ssl.SSLError, ConnectionError):
            return BY_TLS


def context_of(credentials: Credentials, *, serves: bool) -> ssl.SSLContext:
    """TLS 1.3 for one side, which always wants to see the other's certificate.

    Raises:
        ValueError: a certificate, key or bundle is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if serves else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # identities are in the URIs, and `call` compares those
    context.verify_mode = ssl.CERT_REQUIRED
    # Python 3.13 turns this on: old habits of CAs are no ground to refuse anybody, and versions must agree.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with ExitStack() as open_files:
        try:
            context.load_verify_locations(cafile=_memory_file(credentials.ca + "\n" + credentials.crl, open_files))
            if credentials.cert:
                pair = f"{credentials.key.rstrip()}\n{credentials.cert}"
                context.load_cert_chain(_memory_file(pair, open_files))
        except (ssl.SSLError, OSError):
            raise ValueError("not a certificate, a key or a bundle of them") from None
    if credentials.crl:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


@lru_cache(128)
def _client(credentials: Credentials) -> ssl.SSLContext:
    """Made once for each caller: that takes as long as a handshake."""
    return context_of(credentials, serves=False)


def identities(connection: ssl.SSLSocket) -> list[str]:
    """Every URI in the certificate of the other side."""
    names = (connection.getpeercert() or {}).get("subjectAltName", ())
    return [str(name[1]) for name in names if isinstance(name, tuple) and name[0] == "URI"]


def _memory_file(text: str, open_files: ExitStack) -> str:
    """A file in memory that nobody else finds: ssl reads keys from files alone."""
    descriptor = os.memfd_create("credentials")
    open_files.callback(os.close, descriptor)
    os.write(descriptor, text.encode())
    return f"/proc/self/fd/{descriptor}"


def _serve(listening: socket.socket, context: ssl.SSLContext, allow: list[str]) -> None:
    while True:
        connection, _ = listening.accept()
        threading.Thread(target=_answer, args=(connection, context, allow), daemon=True).start()


def _answer(plain: socket.socket, context: ssl.SSLContext, allow: list[str]) -> None:
    plain.settimeout(SECONDS)
    with plain, suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
        callers = identities(connection)
        connection.sendall(LET_IN if len(callers) == 1 and callers[0] in allow else NOT_LET_IN)
        connection.recv(1)  # until the caller has read it and closes


def main() -> None:
    """Serve what standard input names, until it ends."""
    ports = {}
    for name, plan in json.loads(sys.stdin.readline()).items():
        context = context_of(Credentials(**plan["credentials"]), serves=True)
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        ports[name] = listening.getsockname()[1]
        threading.Thread(target=_serve, args=(listening, context, plan["allow"]), daemon=True).start()
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
