"""Where the node image comes from, and what is refused or swept on the way; with the real daemon, on images of a few bytes."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import ImageNotFound, NotFound

from environments.errors import BadInputError, CourseError
from environments.kind import crew
from environments.kind.engine import BUILDING_LABEL
from environments.kind.nodeimage import archive, inputs, sources
from environments.tests.tiny_images import Make, serving, tar_of
from environments.toolchain.catalog import MODULES, spec_of
from environments.yamlfile import read_text

pytest_plugins = ["environments.tests.docker_fixtures"]
COURSE = Path(__file__).parents[2]


def quiet(_: str) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an archive of a node image is looked for."""
    monkeypatch.setenv("MOD209_TOOLS", str(tmp_path))
    return tmp_path / f"kind-node-{inputs.kubernetes()}.tar"


def saved(**labels: str) -> bytes:
    """An archive as `docker save` writes it."""
    config = json.dumps({"config": {"Labels": labels or None}})
    return tar_of({"config.json": config, "manifest.json": json.dumps([{"Config": "config.json", "Layers": []}])})


def test_the_images_of_a_node_are_named_as_its_manifests_and_our_pods_ask_for_them() -> None:
    assert f"image: {inputs.WITH_USERLAND['labnet']}\n" in read_text(inputs.FILES / "default-cni.yaml")
    assert inputs.IMAGES["pause"] == crew.IMAGE
    assert f":{spec_of('pause').version}-".startswith(inputs.IMAGES["pause"][-7:])


def test_how_an_image_is_got_has_no_say_in_what_it_is_called() -> None:
    modules = {path.name for path in inputs.HERE.glob("*.py")}
    assert modules - set(inputs.RECIPE) == {"__init__.py", "__main__.py", "archive.py", "named.py", "sources.py"}


@pytest.mark.parametrize(("module", "counts"), [("containerd", True), ("kind", True), ("vault", False)])
def test_only_what_is_in_the_image_has_a_say_in_what_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, counts: bool
) -> None:
    named = inputs.digest.__wrapped__
    before = named()
    monkeypatch.setattr(inputs, "MODULES", shutil.copytree(MODULES, tmp_path / "modules"))
    assert named() == before
    with (tmp_path / "modules" / module / "go.sum").open("a") as sums:
        sums.write("example.org/new v1.0.0 h1:\n")
    assert (named() != before) is counts


def test_the_publishers_image_is_the_one_that_our_kind_asks_for() -> None:
    assert spec_of("kind").version == sources.STOCK_OF_KIND


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (saved(**{"mod209.inputs": "0" * 64}), "no node image of this version"),
        (saved(), "no node image of this version"),
        (tar_of({"manifest.json": "[]"}), "no node image of this version"),
        (saved(**{"mod209.inputs": inputs.digest()})[:1200], "no whole archive"),
        (tar_of({"something": "else"}), "no whole archive"),
        (tar_of({"manifest.json": '[{"Config": 7}]'}), "no whole archive"),
        (tar_of({"manifest.json": "[1]"}), "no whole archive"),
        (b"no archive at all", "no whole archive"),
        (b"", "no whole archive"),
    ],
)
def test_an_archive_that_is_not_this_courses_image_is_refused_before_docker_gets_it(
    tools: Path, content: bytes, sentence: str
) -> None:
    tools.write_bytes(content)
    with pytest.raises(BadInputError, match=sentence) as caught:
        archive.load(SimpleNamespace(), quiet)
    assert str(tools) in caught.value.message
    assert "built here" in caught.value.hint


def test_no_archive_is_no_fault(tools: Path) -> None:
    assert archive.load(SimpleNamespace(), quiet) is None


def test_a_right_archive_is_loaded_and_named(
    tools: Path, daemon: Any, tiny_image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tiny_image(mod209_inputs=inputs.digest())
    monkeypatch.setattr(archive, "reference", lambda: f"{name}-loaded")
    with tools.open("wb") as stream:
        stream.writelines(daemon.images.get(name).save(named=True))
    assert archive.load(daemon, quiet) == f"{name}-loaded"
    try:
        assert sources.has(daemon, f"{name}-loaded")
    finally:
        daemon.api.remove_image(f"{name}-loaded")


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # docker's client leaves a connection open
def test_an_archive_that_docker_does_not_take_is_one_sentence(tools: Path, daemon: Any) -> None:
    tools.write_bytes(saved(**{"mod209.inputs": inputs.digest()}))
    with pytest.raises(CourseError, match=f"{tools}") as caught:
        archive.load(daemon, quiet)
    assert "\n" not in caught.value.message
    del caught
    gc.collect()


def test_what_a_killed_build_left_is_removed_by_the_next_of_the_same_cache(
    tmp_path: Path, daemon: Any, tiny_image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache/mod209-node-image-0123").mkdir(parents=True)
    (tmp_path / "cache/tools").mkdir()
    monkeypatch.setattr(sources, "has", lambda *_: False)
    monkeypatch.setattr(sources, "pulled", lambda *_: "pulled")
    image = tiny_image()
    labels = [{BUILDING_LABEL: str(tmp_path / name)} for name in ("cache", "another")]
    mine, others = (daemon.containers.create(image, ["true"], labels=one) for one in labels)
    try:
        assert sources.ensure(daemon, quiet) == "pulled"
        with pytest.raises(NotFound):
            mine.reload()
        others.reload()
    finally:
        for one in (mine, others):
            with suppress(NotFound):
                one.remove(force=True)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == ["tools"]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"here": ""}, "no node image of kind"),
        ({"kind/version/x": "v1.37.2"}, "no node image of kind"),
        ({"kind/version": "v1.30.4\n"}, "a node of Kubernetes v1.30.4; the labs are made for v1.37"),
    ],
)
def test_an_image_of_ones_own_that_is_no_node_of_this_version_is_refused_at_once(
    tmp_path: Path, daemon: Any, tiny_image: Make, files: dict[str, str], sentence: str
) -> None:
    name = tiny_image(files)
    env = {**os.environ, "MOD209_STATE": str(tmp_path), "MOD209_NODE_IMAGE": name, "COLUMNS": "200"}
    argv = [sys.executable, "-m", "environments.kind.nodeimage"]
    began = time.monotonic()
    ended = subprocess.run(argv, env=env, cwd=COURSE, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == BadInputError.exit_code, ended.stderr
    assert f"MOD209_NODE_IMAGE is {name}" in ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < 30
    image = daemon.images.get(name).id
    assert not [one for one in daemon.containers.list(all=True, ignore_removed=True) if one.attrs["Image"] == image]


def test_an_image_of_ones_own_of_the_right_version_is_taken(
    daemon: Any, tiny_image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tiny_image({"kind/version": "v1.37.0"})
    monkeypatch.setenv("MOD209_NODE_IMAGE", name)
    assert sources.ensure(daemon, quiet) == name


def test_a_node_image_of_ones_own_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Images:
        def get(self, name: str) -> None:
            raise ImageNotFound(name)

    monkeypatch.setenv("MOD209_NODE_IMAGE", "mine:1")
    with pytest.raises(BadInputError, match="no image mine:1"):
        sources.ensure(SimpleNamespace(images=Images()), quiet)


def test_the_publishers_image_is_pulled_and_found_again_by_its_digest(
    daemon: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOD209_CACHE", str(tmp_path))
    monkeypatch.setattr(sources, "reference", lambda: "mod209-test/none:1")
    with serving() as registry:
        monkeypatch.setattr(sources, "STOCK", registry.name)
        assert not sources.has(daemon, registry.name)
        assert sources.ensure(daemon, quiet) == registry.name
        try:
            assert sources.has(daemon, registry.name)
            assert sources.ensure(daemon, pytest.fail) == registry.name  # pulled once
        finally:
            daemon.api.remove_image(registry.name, force=True)
