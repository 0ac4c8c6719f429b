"""What provider kind writes, asks and says, without a cluster."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from environments.errors import BadInputError, FootprintError, StorageError
from environments.kind import images, node
from environments.kind.clusters import Clusters
from environments.kind.leftovers import abandoned
from environments.kind.nodeimage import inputs
from environments.kind.prepare import KindConfig
from environments.toolchain import Tool
from environments.yamlfile import load_yaml

COURSE = Path(__file__).parents[2]
LABS = sorted(COURSE.glob("labs/*/lab.yaml"))
PORTS = node.Ports(apiserver=20001, etcd=20002, opa=20003, ways=20004, vault=20005)


@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.parent.name)
def test_each_lab_has_a_cluster_that_also_plain_kind_can_make(lab: Path) -> None:
    config = load_yaml(lab.parent / "kind.yaml", KindConfig)
    assert [one["role"] for one in config.nodes] == ["control-plane"]
    assert "failCgroupV1: false" in "".join(config.kubeadmConfigPatches)
    assert not any("hostPath" in json.dumps(one) or "hostPort" in json.dumps(one) for one in config.nodes)


def test_a_cluster_is_published_on_loopback_alone_and_its_authorities_are_ours(tmp_path: Path) -> None:
    base = load_yaml(COURSE / "labs/zero-trust/kind.yaml", KindConfig).model_dump()
    made = node.plan("aws", "mod209-x-aws", tmp_path, PORTS, base)
    config = yaml.safe_load(made.config.read_text())
    [only] = config["nodes"]
    assert config["networking"]["apiServerAddress"] == "127.0.0.1"
    assert {one["listenAddress"] for one in only["extraPortMappings"]} == {"127.0.0.1"}
    assert {one["hostPort"] for one in only["extraPortMappings"]} == {20002, 20003, 20004, 20005}
    mounts = {one["containerPath"]: one for one in only["extraMounts"]}
    assert {"/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/etcd/ca.key", "/etc/kubernetes/pki/sa.key"} < set(mounts)
    assert all(one.get("readOnly") for path, one in mounts.items() if path.startswith("/etc/kubernetes"))
    assert base["kubeadmConfigPatches"] == config["kubeadmConfigPatches"][:-1]


def test_an_unknown_key_of_a_labs_cluster_is_refused(tmp_path: Path) -> None:
    bad = (COURSE / "labs/zero-trust/kind.yaml").read_text() + "featureGatez: {}\n"
    (tmp_path / "kind.yaml").write_text(bad)
    with pytest.raises(BadInputError, match="featureGatez"):
        load_yaml(tmp_path / "kind.yaml", KindConfig)


def test_an_image_is_its_program_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "opa"
    program.write_bytes(b"\x7fELF" + bytes(1000))
    tool = Tool(name="opa", version="1.0.0", path=program, source="path", origin="here")
    path = images.archive(tool)
    with tarfile.open(path) as tar:
        [manifest] = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
        config = json.load(tar.extractfile("config.json") or pytest.fail("no config"))
        layer = (tar.extractfile("layer.tar") or pytest.fail("no layer")).read()
    assert manifest["RepoTags"] == ["docker.io/mod209/opa:1.0.0"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    (tmp_path / "layer.tar").write_bytes(layer)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        assert [(one.name, one.mode) for one in tar] == [("usr/local/bin/opa", 0o755)]
    assert images.archive(tool) == path
    program.write_bytes(b"another")
    assert images.archive(tool) != path
    assert not list(images.folder().glob("*.layer"))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("write /x: no space left on device", "disk of the Docker daemon is full"),
        ("Failed to create inotify object: Too many open files", "watch more files"),
        ("Bind for 127.0.0.1:20001 failed: port is already allocated", "port was taken"),
        ("ERROR: failed to create cluster: node(s) already exist for a cluster with the name", "there already"),
        ('ERROR: failed to read logs: command "docker logs -f x" failed with error', "failed to read logs"),
        ("goroutine 1\nERROR: failed to create cluster: boom\nruntime.goexit", "ERROR: failed to create cluster: boom"),
    ],
)
def test_what_kind_says_becomes_one_sentence(said: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in _failure(said, tmp_path, answers=True)


def test_whatever_kind_says_when_the_daemon_is_gone_it_is_that(tmp_path: Path) -> None:
    said = 'ERROR: failed to create cluster: failed to read logs: command "docker logs -f x" failed with error'
    gone = _failure(said, tmp_path, answers=False)
    assert "the Docker daemon does not answer any more" in gone
    assert "failed to read logs" not in gone


def _failure(said: str, tmp_path: Path, *, answers: bool) -> str:
    """What a footprint says when kind says `said` and fails."""
    kind = tmp_path / "kind"
    kind.write_text(f"#!{sys.executable}\nimport sys\nprint({said!r})\nsys.exit(1)\n")
    kind.chmod(0o755)
    base = load_yaml(COURSE / "labs/zero-trust/kind.yaml", KindConfig).model_dump()
    cloud = node.plan("aws", "mod209-x-aws", tmp_path / "aws", PORTS, base)
    made = Clusters(kind, "image", "network", [cloud], tmp_path, lambda: answers)
    with pytest.raises((FootprintError, StorageError)) as caught:
        made.wait(lambda _: None, lambda: None)
    assert "goroutine" not in str(caught.value)
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9"])
def test_up_without_a_daemon_ends_at_once_and_leaves_nothing(tmp_path: Path, address: str) -> None:
    env = {"PATH": "/usr/bin:/bin", "MOD209_STATE": str(tmp_path), "DOCKER_HOST": address, "COLUMNS": "200"}
    argv = [sys.executable, "-m", "assessment", "up", "zero-trust", "--provider", "kind"]
    env |= {"HOME": str(tmp_path), "MOD209_CACHE": str(tmp_path / "cache")}  # nothing is there, and nothing is built
    ended = subprocess.run(argv, env=env, cwd=COURSE, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == FootprintError.exit_code, ended.stderr
    assert "No Docker daemon answers" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "zero-trust").exists()


def test_only_what_nobody_owns_is_left_over() -> None:
    def network(name: str, directory: str) -> Any:
        return SimpleNamespace(name=name, attrs={"Labels": {"mod209.footprint": directory}})

    def owned(path: Path) -> bool:
        if path == Path("/anothers"):
            raise PermissionError(path)
        return path == Path("/owned")

    there = [network("a", "/owned"), network("b", "/dead"), network("c", ""), network("d", "/anothers")]
    found = abandoned(SimpleNamespace(networks=SimpleNamespace(list=lambda filters: there)), owned)
    assert [one.network for one in found] == ["b", "c"]


def test_the_node_image_is_named_by_its_recipe() -> None:
    version, _, mark = inputs.reference().partition(":")[2].partition("-")
    assert version == inputs.kubernetes()
    assert inputs.digest().startswith(mark)
    assert len(mark) == 12
