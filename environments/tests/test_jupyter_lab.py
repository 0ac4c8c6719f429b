"""`mod209 lab` with real servers: private, brought back after a stop, and gone to the last process however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import psutil
import pytest

from environments.access import read_access
from environments.jupyter.workfolder import read_notebook
from environments.lab.api import Lab
from environments.labspec import load_lab

pytestmark = [pytest.mark.servers, pytest.mark.slow]
COURSE = Path(__file__).parents[2]
SPEC = load_lab(COURSE, "zero-trust")
FIRST = SPEC.tasks[0].notebook
URL = re.compile(r"http://127\.0\.0\.1:\d+/lab\S*token=\S+")
POLICY = 'path "kv/data/mine" { capabilities = ["read"] }'
COMMAND = "import sys; from environments.cli import main; sys.exit(main())"


@dataclass
class Running:
    """`mod209 lab` as a process, with a state of its own."""

    process: subprocess.Popen[str]
    home: Path
    url: str
    said: str

    @property
    def family(self) -> list[psutil.Process]:
        """All processes below it."""
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def api(self, method: str, path: str, **options: object) -> httpx.Response:
        """Ask JupyterLab with the token."""
        parts = urlsplit(self.url)
        headers = {"Authorization": f"token {parse_qs(parts.query)['token'][0]}"}
        address = f"{parts.scheme}://{parts.netloc}{path}"
        return httpx.request(method, address, headers=headers, timeout=60, **options)  # type: ignore[arg-type]

    def lab(self) -> Lab:
        """The lab on its footprint."""
        return Lab(SPEC.slug, read_access(self.home / "state" / SPEC.slug / "operator.json"), self.home / "work")


@contextmanager
def running(home: Path) -> Iterator[Running]:
    argv = [sys.executable, "-c", COMMAND, "lab", SPEC.slug, "--work", str(home / "work")]
    env = os.environ | {"MOD209_STATE": str(home / "state"), "MOD209_COURSE": str(COURSE), "COLUMNS": "300"}
    with (home / "errors").open("ab") as errors:
        process = subprocess.Popen(
            argv, cwd=COURSE, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdout
    with process.stdout as lines:
        said = ""
        for line in lines:
            said += line
            if found := URL.search(line):
                break
        else:
            raise AssertionError(said + (home / "errors").read_text())
        try:
            yield Running(process, home, found.group(), said)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(90)


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; none if it has ended since it was listed."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def assert_gone(family: list[psutil.Process]) -> None:
    left = psutil.wait_procs(family, timeout=60)[1]
    assert [words_of(one) for one in left] == []


def test_a_learners_work_comes_back_and_nothing_is_left_running(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        assert "new in it" in first.said
        token = parse_qs(urlsplit(first.url).query)["token"][0]
        family = first.family
        assert not any(token in argument for one in family for argument in words_of(one))
        settings = list((tmp_path / "state" / "jupyter" / SPEC.slug).glob("jupyter_*_config.json"))
        assert settings
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in settings)
        bare = first.url.split("?")[0].split("/lab")[0]
        assert httpx.get(f"{bare}/api/contents").status_code == 403
        names = {one["name"] for one in first.api("GET", "/api/contents").json()["content"]}
        assert names >= {task.notebook for task in SPEC.tasks}
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(90) == 0
        assert_gone(family)
    path = tmp_path / "work" / FIRST
    notebook = read_notebook(path)
    answer = next(cell for cell in notebook["cells"] if cell["id"] == "zt-1-issuers")
    answer["source"] = f"lab.vault.sys.create_or_update_policy('ml-mine', {POLICY!r})"
    path.write_text(json.dumps(notebook))
    (tmp_path / "work" / "policies").mkdir()
    (tmp_path / "work" / "policies" / "by-hand.hcl").write_text(POLICY)
    before = path.read_bytes()
    with running(tmp_path) as second:
        assert "new in it" not in second.said
        assert "Your work is back" in second.said or "not brought back" in (tmp_path / "errors").read_text()
        lab = second.lab()
        try:
            policies = lab.vault.sys.list_acl_policies()["data"]["keys"]
        finally:
            lab.close()
        assert {"ml-mine", "ml-by-hand"} <= set(policies)
        assert path.read_bytes() == before


def test_kernels_and_terminals_end_even_if_the_command_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as lab:
        assert lab.api("POST", "/api/kernels", json={}).status_code == 201
        assert lab.api("POST", "/api/terminals", json={}).status_code == 200
        family = lab.family
        running_now = " ".join(word for one in family for word in words_of(one))
        assert "ipykernel" in running_now
        assert "kube-apiserver" in running_now
        lab.process.kill()
        assert_gone(family)


def test_a_second_one_is_refused_and_one_that_runs_is_used(tmp_path: Path) -> None:
    with running(tmp_path) as lab:
        env = os.environ | {"MOD209_STATE": str(tmp_path / "state"), "MOD209_COURSE": str(COURSE)}
        argv = [sys.executable, "-c", COMMAND, "lab", SPEC.slug, "--work", str(tmp_path / "work")]
        second = subprocess.run(argv, cwd=COURSE, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert second.returncode == 5
        assert "runs already for zero-trust" in second.stderr
        assert lab.api("GET", "/api/status").is_success
