"""Nothing that learners must not see is in a bundle: looked for by content, in every file and in the wheel's files."""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from environments.labspec import TaskSpec, load_lab
from environments.params import derive
from environments.probes import load_probes
from graders.bundle.contents import bundle_files, common
from graders.variants import load_variants

COURSE = Path(__file__).parents[2]
SLUG = "zero-trust"
SPEC = load_lab(COURSE, SLUG)
TERM_KEY = b"a term key that no learner may see"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
DISTINCTIVE = 24  # characters; shorter lines of a solution stand in worked examples as well
SOLUTIONS = COURSE / "solutions" / SLUG
HINTS = f"labs/{SLUG}/hints/"


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Every file of a bundle, and every file in its wheel, as text."""
    files = bundle_files(common(COURSE, SLUG), derive("ada", TERM_KEY))
    [wheel] = [name for name in files if name.endswith(".whl")]
    with zipfile.ZipFile(io.BytesIO(files.pop(wheel))) as archive:
        files |= {f"{wheel}/{name}": archive.read(name) for name in archive.namelist()}
    return {name: plain(name, data) for name, data in files.items()}


def plain(name: str, data: bytes) -> str:
    """What a person reads in the file."""
    text = data.decode("utf-8", "replace")
    if not name.endswith(".ipynb"):
        return text
    return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


def holding(texts: Mapping[str, str], words: str) -> list[str]:
    return [name for name, text in texts.items() if words in text]


def solution_lines(notebook: Path) -> Iterator[str]:
    inside = False
    for line in plain(".ipynb", notebook.read_bytes()).splitlines():
        if line.strip() in {BEGIN, END}:
            inside = line.strip() == BEGIN
        elif inside and len(line.strip()) >= DISTINCTIVE:
            yield line.strip()


@cache
def told() -> set[str]:
    """Lines that lessons say word for word, outside of any solution."""
    sources = (plain(".ipynb", path.read_bytes()) for path in SOLUTIONS.glob("notebooks/*.ipynb"))
    lessons = (re.sub(f"{BEGIN}.*?{END}", "", source, flags=re.DOTALL) for source in sources)
    return {line.strip() for lesson in lessons for line in lesson.splitlines()}


@pytest.mark.parametrize("task", SPEC.tasks, ids=lambda task: task.id)
def test_no_line_of_a_solution_is_inside(texts: dict[str, str], task: TaskSpec) -> None:
    lines = [line for line in solution_lines(SOLUTIONS / "notebooks" / task.notebook) if line not in told()]
    assert len(lines) >= 5
    hints = {path: text for path, text in texts.items() if path.startswith(HINTS)}
    others = {path: text for path, text in texts.items() if path not in hints}
    found = [line for line in lines if holding(others, line)]
    # A short line may be what anybody writes (`lab.apply("policies/admission.rego")`); many of them, or a long one, are not.
    assert [line for line in found if len(line) >= 2 * DISTINCTIVE] == [], found
    assert len(found) <= max(1, len(lines) / 10), found
    assert holding(others, BEGIN) == []
    assert sum(bool(holding(hints, line)) for line in lines) <= len(lines) / 4, "hints give the answer away"


def test_no_hidden_probe_is_inside(texts: dict[str, str]) -> None:
    hidden = [probe for path in sorted(SOLUTIONS.glob("probes/*.yaml")) for probe in load_probes(path, visible=False)]
    shown = {
        probe.id for path in (COURSE / "labs" / SLUG).glob("probes/*.yaml") for probe in load_probes(path, visible=True)
    }
    assert len(hidden) > 20
    assert not shown & {probe.id for probe in hidden}
    for probe in hidden:
        assert [name for name, text in texts.items() if re.search(rf"\bid: {re.escape(probe.id)}\b", text)] == []
        if "-" in probe.id:
            assert [
                name for name, text in texts.items() if re.search(rf"[\"'`]{re.escape(probe.id)}[\"'`]", text)
            ] == []
        assert len(probe.why) < DISTINCTIVE or holding(texts, probe.why) == [], probe.id


def test_no_check_is_inside(texts: dict[str, str]) -> None:
    checks = [
        node
        for path in sorted((COURSE / "graders" / "checks" / SLUG).glob("check_*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]
    assert len(checks) == len(SPEC.checks)
    for check in checks:
        sentence = " ".join((ast.get_docstring(check) or "").split())[:60]
        assert len(sentence) > DISTINCTIVE
        assert [name for name, text in texts.items() if sentence in " ".join(text.split())] == []
        assert holding(texts, f"def {check.name}(") == []


def test_no_code_of_the_graders_is_inside(texts: dict[str, str]) -> None:
    for path in sorted((COURSE / "graders").rglob("*.py")) + sorted((COURSE / "assessment").rglob("*.py")):
        module = ast.parse(path.read_text())
        said = ast.get_docstring(module)
        if said and len(said) >= DISTINCTIVE:
            assert holding(texts, said) == [], path
    imports = re.compile(r"^\s*(?:from|import) (?:graders|assessment)\b", re.MULTILINE)
    assert [name for name, text in texts.items() if imports.search(text)] == []


def test_no_variant_is_inside(texts: dict[str, str]) -> None:
    for variant in load_variants(COURSE, SPEC):
        if variant.file:
            assert holding(texts, variant.file.why) == [], variant.name
            for edit in variant.file.edits:
                added = [line.strip() for line in edit.replace.splitlines() if len(line.strip()) > 2 * DISTINCTIVE]
                assert [line for line in added if holding(texts, line)] == [], variant.name


def test_no_key_and_no_other_learner_is_inside(texts: dict[str, str]) -> None:
    assert holding(texts, TERM_KEY.decode()) == []
    assert holding(texts, derive("ben", TERM_KEY).audience) == []
    assert holding(texts, derive("ada", TERM_KEY).audience) == ["params.json"]


def test_the_wheel_is_environments_and_nothing_else(texts: dict[str, str]) -> None:
    inside = {name.split(".whl/")[1] for name in texts if ".whl/" in name}
    ours = {name for name in inside if not name.split("/")[0].endswith(".dist-info")}
    folder = COURSE / "environments"
    wanted = {
        str(path.relative_to(COURSE))
        for path in folder.rglob("*")
        if path.suffix in {".py", ".yaml", ".rego", ".hcl", ".txt"} or path.parent.parent.name == "modules"
        if path.is_file() and not {"tests", "benchmarks", "image", "__pycache__"} & set(path.parts)
    }
    assert ours >= wanted
    assert all((COURSE / name).is_file() and name.startswith("environments/") for name in ours)
    assert not any({"tests", "benchmarks"} & set(name.split("/")) for name in ours)
