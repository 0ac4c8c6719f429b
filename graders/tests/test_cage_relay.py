"""The relay: the cage's only way out carries what it should, and no more than it should."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from environments.errors import CageError
from graders.cage import Status
from graders.cage.confined import Start
from graders.cage.relay import CONNECTIONS, Relay
from graders.tests.cage_jobs import CAGES, ConfiningCage, caged, needs_root


@pytest.fixture(params=CAGES)
def start(request: pytest.FixtureRequest) -> Start:
    made: Callable[[], ConfiningCage] = request.param
    return made().start


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends everything back once the client has finished."""

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            data = b""
            while chunk := client.recv(1 << 16):
                data += chunk
            client.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=300) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_relay_carries_much_and_knows_when_a_side_has_finished(start: Start) -> None:
    with echo() as port:
        ending = caged(
            f"""
sent = os.urandom(1 << 16) * 64
client = socket.create_connection(("127.0.0.1", {port}))
client.sendall(sent)
client.shutdown(socket.SHUT_WR)
back = b""
while chunk := client.recv(1 << 16): back += chunk
send("ready", str(back == sent).encode())
send("done")
""",
            ports=[port],
            start=start,
        )
    assert ending.frames[0].body == b"True"


def test_relay_bounds_connections_and_recovers(start: Start) -> None:
    with echo() as port:
        ending = caged(
            f"""
import select
def ask(client):
    client.settimeout(5)
    try:
        client.sendall(b"x"); client.shutdown(socket.SHUT_WR)
        return client.recv(1)
    except OSError: return b""
flood = [socket.create_connection(("127.0.0.1", {port})) for _ in range({CONNECTIONS} + 50)]
# Nobody is answered before the last one has been let in or turned away: an end would make room for one more.
deadline = time.monotonic() + 30
while len(select.select(flood, [], [], 0.1)[0]) < 50 and time.monotonic() < deadline: pass
answered = sum(ask(client) == b"x" for client in flood)
[client.close() for client in flood]
deadline = time.monotonic() + 5
while not (again := ask(socket.create_connection(("127.0.0.1", {port})))) and time.monotonic() < deadline: pass
send("ready", json.dumps([answered, again.decode()]).encode()); send("done")
""",
            ports=[port],
            start=start,
        )
    assert ending.frames[0].body == f'[{CONNECTIONS}, "x"]'.encode()


def test_relay_to_a_closed_port_ends_the_connection(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ending = caged(
        f"c = socket.create_connection(('127.0.0.1', {port})); send('ready', c.recv(1)); send('done')",
        ports=[port],
        start=start,
    )
    assert ending.status is Status.FINISHED
    assert ending.frames[0].body == b""


@needs_root
def test_relay_refuses_a_process_that_shares_our_network() -> None:
    with pytest.raises(CageError, match="network namespace"):
        Relay(os.getpid(), [8443])


def test_relay_leaves_no_socket_open_when_it_stops_in_the_middle_of_a_flood(start: Start) -> None:
    with echo() as port:
        for _ in range(5):
            caged(
                f"""
import threading
def knock():
    while True:
        try: socket.create_connection(("127.0.0.1", {port}), timeout=1).send(b"x")
        except OSError: pass
for _ in range(8): threading.Thread(target=knock, daemon=True).start()
socket.create_connection(("127.0.0.1", {port})).close()
send("done"); os._exit(0)
""",
                ports=[port],
                start=start,
            )
    gc.collect()  # a socket that nobody closed warns when it is collected
