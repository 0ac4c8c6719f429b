"""The workbench: lints learners' policies, loads them into the clouds' OPAs, and watches rotations. Its own process.

Run as `python -m environments.workbench.server CONFIG`. It holds the certificate that may
load into OPA, and a token that reads push credentials, and nothing else.
"""

from __future__ import annotations

import hmac
import json
import ssl
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from environments.cleanroom.endpoint import Endpoint
from environments.cleanroom.opa import replace_modules
from environments.workbench.lint import Linter, Problem
from environments.workbench.watch import NotWatchingError, Watch, WatchConfig
from environments.yamlfile import Strict

MAX_BODY = 1 << 20
MAX_FILES = 50
IDLE_SECONDS = 10.0


class OpaConfig(Strict):
    """One cloud's OPA: URL, and files of CA, client certificate and key."""

    url: str
    ca: Path
    cert: Path
    key: Path


class Config(Strict):
    """The whole configuration file."""

    url: str
    cert: Path
    key: Path
    token: Path
    opa: Path
    vault: Path
    opas: dict[str, OpaConfig]
    watch: WatchConfig


class Workbench:
    """What the service does, without HTTP."""

    def __init__(self, config: Config) -> None:
        self._linter = Linter(config.opa, config.vault)
        self._opas = {
            name: Endpoint(url=agent.url, ca=agent.ca, cert=agent.cert, key=agent.key).client(timeout=10.0)
            for name, agent in config.opas.items()
        }

    def lint(self, files: dict[str, str]) -> list[Problem]:
        """Problems of .rego and .hcl files, none if they are fine."""
        return self._linter.check(files)

    def apply(self, files: dict[str, str]) -> list[Problem]:
        """Load exactly these .rego modules on all clouds, if they are fine."""
        problems = [
            Problem.of(name, "only .rego files are loaded into OPA") for name in files if not name.endswith(".rego")
        ]
        if problems := problems or self.lint(files):
            return problems
        for name, client in self._opas.items():
            try:
                replace_modules(client, files)
            except httpx.HTTPStatusError as error:
                return [Problem.of(f"{name}/opa", error.response.text[:500])]
        return []


def serve(config: Config) -> None:
    """Serve until killed."""
    workbench = Workbench(config)
    routes = {"/lint": workbench.lint, "/apply": workbench.apply}
    watch = Watch(config.watch)
    watching = {
        "/watch/begin": watch.begin,
        "/watch/using": watch.using,
        "/watch/end": watch.end,
        "/watch/record": watch.seen,
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/health" else 404, {})

        def do_POST(self) -> None:
            if self._is_operators() and self.path in watching:
                self._watch(watching[self.path])
                return
            files, refusal = self._files()
            if refusal:
                self.close_connection = True
                self._answer(*refusal)
                return
            problems = routes[self.path](files)
            self._answer(
                422 if problems else 200, {"ok": not problems, "errors": [problem.as_dict() for problem in problems]}
            )

        def _is_operators(self) -> bool:
            given = self.headers.get("Authorization", "")
            return hmac.compare_digest(given.encode(), f"Bearer {config.token.read_text()}".encode())

        def _watch(self, what: Callable[[], dict[str, Any]]) -> None:
            self.close_connection = self.headers.get("Content-Length", "0") != "0"  # a body is of no use here
            try:
                self._answer(200, what())
            except NotWatchingError as error:
                self._answer(409, {"error": str(error)})

        def _files(self) -> tuple[dict[str, str], tuple[int, dict[str, Any]] | None]:
            """The files sent, or the answer that refuses them."""
            if not self._is_operators():
                return {}, (401, {"error": "wrong token"})
            length = self.headers.get("Content-Length", "")
            if self.path not in routes or not length.isdigit() or int(length) > MAX_BODY:
                return {}, (400, {"error": f"POST at most {MAX_BODY} bytes to one of {', '.join(routes)}"})
            try:
                files = json.loads(self.rfile.read(int(length)))["files"]
            except (ValueError, KeyError, TypeError, RecursionError):
                return {}, (400, {"error": 'send {"files": {name: text}}'})
            if not _are_files(files):
                return {}, (400, {"error": f"send 1 to {MAX_FILES} files, each a plain name and its text"})
            return files, None

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
            sys.stdout.write(format % args + "\n")
            sys.stdout.flush()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config.cert, config.key)
    url = httpx.URL(config.url)
    server = ThreadingHTTPServer((url.host, url.port or 0), Handler, bind_and_activate=False)
    # The handshake happens in the connection's own thread, so that a silent client holds up nobody else.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    server.server_bind()
    server.server_activate()
    server.serve_forever()


def _are_files(files: object) -> bool:
    if not isinstance(files, dict) or not 0 < len(files) <= MAX_FILES:
        return False
    return all(
        isinstance(n, str) and isinstance(t, str) and n and not n.startswith((".", "/")) and ".." not in n
        for n, t in files.items()
    )


if __name__ == "__main__":
    serve(Config.model_validate_json(Path(sys.argv[1]).read_text()))
