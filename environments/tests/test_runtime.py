"""Runtime detection without a cluster: what rules Falco out, which image is taken, what its pod may do, what it has said."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from docker.errors import DockerException, ImageNotFound
from typer.testing import CliRunner

from environments import cli, footprint
from environments.doctor.machine import runtime as examined
from environments.errors import BadInputError, FootprintError
from environments.footprint import silent
from environments.kind import falco, prepare, runtime
from environments.kind.alerts import Alert, alerts
from environments.params import practice
from environments.supervisor.server import Plan
from environments.tests.test_doctor import FULL, machine

COURSE = Path(__file__).parents[2]
DAEMONS_ID = "sha256:0123456789abcdef"
TAKEN = "docker.io/mod209/falco:0123456789ab"


def kernel(folder: Path, release: str = "6.8.0-86-generic", *, typed: bool = True, bounding: str = FULL) -> Any:
    """A machine with that kernel, as `doctor` examines one."""
    here = machine(folder, bounding)
    (here.proc / "sys/kernel").mkdir(parents=True)
    (here.proc / "sys/kernel/osrelease").write_text(release + "\n")
    if typed:
        (here.sys / "kernel/btf").mkdir(parents=True)
        (here.sys / "kernel/btf/vmlinux").write_bytes(b"")
    return here


@pytest.mark.parametrize("release", ["5.8.0", "5.15.0-191-generic", "6.18.33.2-microsoft-standard-WSL2", "10.1"])
def test_a_machine_that_has_all_rules_nothing_out(tmp_path: Path, release: str) -> None:
    here = kernel(tmp_path, release)
    assert runtime.obstacle(here.proc, here.sys) == ""
    assert [one.state for one in examined(here)] == ["ok"]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"release": "5.7.19"}, "the kernel is 5.7.19, and Falco needs 5.8"),
        ({"release": "4.19.0-27-amd64"}, "the kernel is 4.19.0-27-amd64"),
        ({"release": "strange"}, "the kernel is strange"),
        ({"typed": False}, "kernel/btf/vmlinux"),
        ({"bounding": f"{(1 << 41) - 1 - (1 << 24):016x}"}, "CAP_SYS_RESOURCE is out of reach"),
        ({"bounding": "00000000a80425fb"}, "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_SYS_RESOURCE"),
    ],
)
def test_what_a_machine_lacks_is_the_reason_and_doctor_tells_it(
    tmp_path: Path, facts: dict[str, Any], reason: str
) -> None:
    here = kernel(tmp_path, **facts)
    assert reason in runtime.obstacle(here.proc, here.sys)
    [found] = examined(here)
    assert (found.group, found.state) == ("kind", "warning")
    assert reason in found.seen
    assert found.cure


class Images:
    """What a daemon knows of images; a pull succeeds if `published`."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.tags: list[str] = []

    def get(self, name: str) -> Any:
        if name not in self.names:
            raise ImageNotFound(name)
        return SimpleNamespace(
            id=DAEMONS_ID, tag=lambda *tag: self.tags.append(":".join(tag)), reload=_nothing, save=self.save
        )

    def save(self, named: str) -> Iterator[bytes]:
        yield f"archive of {named}".encode()


def _nothing() -> None:
    pass


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cache of one's own, and a publisher's registry out of reach: the images that it was asked for."""
    asked: list[str] = []
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(runtime.OVERRIDE_VARIABLE, raising=False)
    monkeypatch.setattr(runtime, "pulled", lambda engine, name, progress, what: asked.append(name))
    return asked


def choose(images: Images, obstacle: str = "") -> runtime.Choice:
    return runtime.choose(SimpleNamespace(images=images), silent, lambda: obstacle)


def test_a_machine_that_rules_it_out_is_not_asked_for_an_image(asked: list[str]) -> None:
    assert choose(Images(runtime.STOCK), "no") == runtime.Choice(reason="no")
    assert asked == []


def test_an_image_out_of_reach_is_the_reason(asked: list[str]) -> None:
    choice = choose(Images())
    assert choice.image == ""
    assert "out of reach" in choice.reason
    assert asked == [runtime.STOCK]


def test_an_image_that_the_daemon_has_is_written_where_nodes_find_it(asked: list[str]) -> None:
    images = Images(runtime.STOCK)
    assert choose(images) == runtime.Choice(image=TAKEN)
    assert asked == []
    assert runtime.archive(TAKEN).read_bytes() == b"archive of mod209/falco:0123456789ab"
    assert images.tags == ["mod209/falco:0123456789ab"]
    choose(images)
    assert len(images.tags) == 1
    assert [path.name for path in runtime.archive(TAKEN).parent.iterdir()] == ["falco-0123456789ab.tar"]


def test_an_image_of_ones_own_comes_first_and_must_be_there(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.OVERRIDE_VARIABLE, "mine:1")
    assert choose(Images("mine:1")).image == TAKEN
    with pytest.raises(BadInputError, match="no image mine:1"):
        choose(Images(runtime.STOCK))


def test_an_image_that_cannot_be_written_is_the_reason_and_nothing_half_is_left(asked: list[str]) -> None:
    class Failing(Images):
        def save(self, named: str) -> Iterator[bytes]:
            yield b"half"
            raise DockerException("no space left on device")

    assert "disk of the Docker daemon is full" in choose(Failing(runtime.STOCK)).reason
    assert list(runtime.archive(TAKEN).parent.iterdir()) == []


def test_the_pod_has_the_privileges_of_the_publishers_chart_and_no_more() -> None:
    spec = falco.pod(TAKEN)["spec"]
    [container] = spec["containers"]
    context = container["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["BPF", "PERFMON", "SYS_PTRACE", "SYS_RESOURCE"]}
    assert context["allowPrivilegeEscalation"] is False
    assert "privileged" not in context
    assert not {"hostPID", "hostIPC"} & spec.keys()
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert {volume["name"] for volume in spec["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    assert container["imagePullPolicy"] == "Never"


def test_the_pod_cannot_loop_and_listens_to_its_own_node_alone() -> None:
    spec = falco.pod(TAKEN)["spec"]
    [container] = spec["containers"]
    assert spec["restartPolicy"] == "Never"
    assert "webserver.listen_address=127.0.0.1" in container["args"]
    assert container["readinessProbe"]["httpGet"] == {"host": "127.0.0.1", "port": 8765, "path": "/healthz"}
    assert f"webserver.listen_port={falco.PORT}" in container["args"]
    assert "engine.kind=modern_ebpf" in container["args"]


@dataclass(eq=False)
class FakeNode:
    """A node whose API server answers with `status` of Falco's pod, and whose commands succeed unless in `broken`."""

    folder: Path
    name: str
    status: dict[str, Any] | None
    broken: tuple[str, ...] = ()
    ran: list[list[str]] = field(default_factory=list)
    importing: threading.Event | None = None

    @property
    def container(self) -> str:
        return f"x-{self.name}"

    @property
    def plane(self) -> Any:
        def client(**_: Any) -> httpx.Client:
            return httpx.Client(base_url="http://api", transport=httpx.MockTransport(self.answer))

        return SimpleNamespace(name=self.name, keeper=SimpleNamespace(client=client))

    def answer(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.startswith(f"/api/v1/namespaces/kube-system/pods/falco-{self.container}"):
            return httpx.Response(500)
        if self.status is None or ["rm", "-f", "/etc/kubernetes/manifests/mod209-falco.json"] in self.ran:
            return httpx.Response(404)
        if request.url.path.endswith("/log"):
            return httpx.Response(200, text="Error: cannot load\n")
        return httpx.Response(200, json={"status": self.status})

    def exec_run(self, argv: list[str]) -> Any:
        self.ran.append(argv)
        if self.importing and argv[0] == "ctr":
            assert self.importing.wait(30)
        failed = argv[0] in self.broken
        return SimpleNamespace(exit_code=int(failed), output=b"no such file" if failed else b"")


WELL = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
SLOW = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
CRASHED = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]}


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, list[FakeNode], falco.Watch]]:
    """Settle a watch over nodes of these statuses, in threads that have ended."""
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path))

    def run(*statuses: dict[str, Any] | None, **options: Any) -> tuple[str, list[FakeNode], falco.Watch]:
        nodes = [
            FakeNode(tmp_path / name, name, status, **options)
            for name, status in zip(("aws", "azure", "gcp"), statuses, strict=False)
        ]
        for node in nodes:
            (node.folder / "node").mkdir(parents=True)
        (tmp_path / "logs").mkdir()
        client = SimpleNamespace(containers={node.container: node for node in nodes})
        watch = falco.Watch(client, TAKEN, tmp_path / "logs")
        for node in nodes:
            watch.start(node)  # type: ignore[arg-type]
        return watch.settle(grace=0.2), nodes, watch

    return run


def removals(nodes: list[FakeNode]) -> list[str]:
    return [node.name for node in nodes for argv in node.ran if argv[0] == "rm"]


def test_a_falco_that_is_well_everywhere_stays(watched: Any) -> None:
    reason, nodes, watch = watched(WELL, WELL, WELL)
    assert reason == ""
    assert removals(nodes) == []
    assert watch.states() == {"aws": True, "azure": True, "gcp": True}


def test_a_falco_that_ends_anywhere_is_taken_away_everywhere_and_its_last_words_are_kept(
    watched: Any, tmp_path: Path
) -> None:
    reason, nodes, _ = watched(WELL, CRASHED, SLOW)
    assert reason == "Falco ended (code 1) on azure; what it said is in logs/azure-falco.log"
    assert removals(nodes) == ["aws", "azure", "gcp"]
    assert (tmp_path / "logs/azure-falco.log").read_text() == "Error: cannot load\n"


@pytest.mark.parametrize("status", [SLOW, None])
def test_a_falco_that_is_late_is_taken_away(watched: Any, status: dict[str, Any] | None) -> None:
    reason, nodes, _ = watched(WELL, WELL, status)
    assert reason.startswith("Falco did not get healthy in time on gcp")
    assert removals(nodes) == ["aws", "azure", "gcp"]


def test_a_node_that_does_not_take_the_image_is_the_reason(watched: Any) -> None:
    reason, nodes, _ = watched(None, None, None, broken=("ctr",))
    assert "ctr failed on the node of aws: no such file" in reason
    assert removals(nodes) == ["aws", "azure", "gcp"]
    assert not any(argv[0] == "mv" for node in nodes for argv in node.ran)


def test_a_node_that_is_still_importing_when_it_is_over_gets_no_pod(watched: Any) -> None:
    importing = threading.Event()
    reason, nodes, _ = watched(SLOW, importing=importing)
    assert "did not get healthy in time" in reason
    importing.set()
    for thread in threading.enumerate():
        if thread.name == "falco of aws":
            thread.join(30)
    assert not any(argv[0] == "mv" for node in nodes for argv in node.ran)


def line(**changes: Any) -> str:
    """An alert as Falco prints it."""
    fields = {"k8s.ns.name": "serving", "k8s.pod.name": "model-0", "proc.tty": 34816, "user.name": None}
    alert = {
        "hostname": "mod209-x-aws-control-plane",
        "output": "10:00:01.5: Notice A shell was spawned in a container",
        "output_fields": fields,
        "priority": "Notice",
        "rule": "Terminal shell in container",
        "source": "syscall",
        "tags": ["container", "shell"],
        "time": "2026-07-29T10:00:01.500000123Z",
    }
    return json.dumps(alert | changes)


def told(folder: Path, *lines: str, end: str = "\n", since: str = "2026-07-29T10:00:00Z") -> list[Alert]:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs/aws-falco.log").write_text("\n".join(lines) + end)
    return alerts(folder, "aws", datetime.fromisoformat(since))


def test_alerts_are_read_from_among_falcos_own_words(tmp_path: Path) -> None:
    [alert] = told(tmp_path, "Wed Jul 29 10:00:00 2026: Falco version: 0.45.0 (x86_64)", line())
    assert (alert.rule, alert.priority, alert.pod) == ("Terminal shell in container", "Notice", ("serving", "model-0"))
    assert alert.time == datetime(2026, 7, 29, 10, 0, 1, 500000, tzinfo=UTC)
    assert alert.output_fields["proc.tty"] == 34816


def test_alerts_of_before_of_other_clouds_and_said_twice_do_not_count(tmp_path: Path) -> None:
    elsewhere = line(output_fields={"k8s.ns.name": None, "k8s.pod.name": None, "container.id": "0123"})
    later = line(time="2026-07-29T10:00:09.000000000Z")
    assert [one.time.second for one in told(tmp_path, line(), line(), elsewhere, later)] == [1, 9]
    assert [one.time.second for one in told(tmp_path, line(), later, since="2026-07-29T12:00:02+02:00")] == [9]


def test_a_line_that_is_only_being_written_is_left_for_later(tmp_path: Path) -> None:
    assert len(told(tmp_path, line(), line(rule="Other")[:40], end="")) == 1


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        ('{"rule": "x"', "json_invalid"),
        (line(priority="Loud"), "priority"),
        (line(time="2026-07-29T10:00:01"), "time"),
        (line(output_fields=["x"]), "output_fields"),
        (line(rule=None), "rule"),
    ],
)
def test_what_looks_like_an_alert_and_is_none_is_an_error(tmp_path: Path, bad: str, where: str) -> None:
    with pytest.raises(FootprintError, match=where):
        told(tmp_path, line(), bad)


def test_without_a_log_there_is_no_silence(tmp_path: Path) -> None:
    with pytest.raises(FootprintError, match="no log of Falco of aws"):
        alerts(tmp_path, "aws", datetime.now(UTC))


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course with a lab that needs runtime detection, `watched`, and the real one, which does not."""
    folder = tmp_path / "course"
    for slug, change in (("zero-trust", ""), ("watched", "runtime")):
        shutil.copytree(
            COURSE / "labs/zero-trust", folder / "labs" / slug, ignore=shutil.ignore_patterns("note*", "hints")
        )
        spec = (folder / "labs" / slug / "lab.yaml").read_text().replace("slug: zero-trust", f"slug: {slug}")
        spec = spec.replace("needs: identity", f"needs: {change}") if change else spec
        (folder / "labs" / slug / "lab.yaml").write_text(spec)
    return folder


@pytest.mark.parametrize(("lab", "reason"), [("watched", "provider local runs no pods"), ("zero-trust", "")])
def test_local_says_why_it_has_no_runtime_where_a_task_needs_it(
    course: Path, monkeypatch: pytest.MonkeyPatch, lab: str, reason: str
) -> None:
    monkeypatch.setattr(footprint, "resolve", lambda names, progress: {})
    plan = footprint._plan("local", lab, course, "", silent)
    read = Plan.model_validate(plan | {"params": practice().model_dump(), "bound": True})
    assert read.without == {"runtime": reason}


@pytest.mark.parametrize(
    ("choice", "without"),
    [
        (runtime.Choice(image=TAKEN), {}),
        (runtime.Choice(reason="the kernel is 4.9"), {"runtime": "the kernel is 4.9"}),
    ],
)
def test_on_kind_a_lab_that_needs_it_gets_falco_or_the_reason(
    course: Path, monkeypatch: pytest.MonkeyPatch, choice: runtime.Choice, without: dict[str, str]
) -> None:
    monkeypatch.setattr(runtime, "choose", lambda client, progress: choice)
    plan = _kind_plan("watched", course, monkeypatch)
    assert (plan["own"]["falco"], plan["without"]) == (choice.image, without)


def test_on_kind_a_lab_that_does_not_need_it_pays_nothing(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "choose", lambda client, progress: pytest.fail("Falco was asked for"))
    plan = _kind_plan("zero-trust", course, monkeypatch)
    assert (plan["own"]["falco"], plan["without"]) == ("", {"runtime": ""})


def _kind_plan(lab: str, course: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    @contextmanager
    def engine() -> Iterator[None]:
        yield

    monkeypatch.setattr(footprint, "resolve", lambda names, progress: {})
    monkeypatch.setattr(prepare, "engine", engine)
    monkeypatch.setattr(prepare, "sweep", lambda client, owned: [])
    monkeypatch.setattr(prepare, "ensure", lambda client, progress: "node")
    return footprint._plan("kind", lab, course, "", silent)


@pytest.mark.parametrize(("reason", "shown"), [("the kernel is 4.9", True), ("", False)])
def test_status_says_in_one_line_why_runtime_is_not_there(
    monkeypatch: pytest.MonkeyPatch, reason: str, shown: bool
) -> None:
    status = {"servers": {}, "without": {"runtime": reason}}
    monkeypatch.setattr(cli, "attach", lambda lab: SimpleNamespace(status=lambda: status))
    printed = CliRunner().invoke(cli.app, ["status", "zero-trust"]).stdout
    assert ("runtime: not available: the kernel is 4.9\n" in printed) is shown
    assert ("runtime" in printed) is shown
