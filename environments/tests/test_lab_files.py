"""Files of a learner: which ones are found, what they may be called, and what is said about a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.course import access_file, course_dir
from environments.errors import BadInputError
from environments.lab.apply import find_files, policy_name
from environments.lab.kinds import Kinds
from environments.lab.lint import Problem, lint_yaml, refuse
from environments.lab.magic import artifact_path
from environments.lab.manifests import read_manifests

TWO_OBJECTS = """---
# a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: training}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: training}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("policies/b.rego", "policies/a.hcl", "policies/notes.txt", "manifests/x.yaml", "other/y.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    return tmp_path


def names(root: Path, *asked: str) -> list[str]:
    return [str(path.relative_to(root)) for path in find_files(root, asked)]


def test_everything_in_the_two_folders_is_found_in_a_fixed_order(root: Path) -> None:
    assert names(root) == ["policies/a.hcl", "policies/b.rego", "manifests/x.yaml"]


def test_named_files_and_folders_are_found_once(root: Path) -> None:
    assert names(root, "other", "policies/b.rego", "other/y.yaml") == ["other/y.yaml", "policies/b.rego"]


@pytest.mark.parametrize("name", ["policies/none.rego", "policies/notes.txt"])
def test_a_file_of_no_use_is_named(root: Path, name: str) -> None:
    with pytest.raises(BadInputError, match=name):
        find_files(root, [name])


def test_nothing_to_apply_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="nothing to apply"):
        find_files(tmp_path, [])


def test_the_name_of_an_hcl_file_is_the_name_of_the_policy() -> None:
    assert policy_name("policies/aws-training-trainer.hcl") == "ml-aws-training-trainer"
    with pytest.raises(BadInputError, match="Big_Name"):
        policy_name("policies/Big_Name.hcl")


@given(
    st.text(max_size=40) | st.from_regex(r"(\.\./|/|policies/|manifests/)*[a-z.]{0,6}\.(rego|yaml|py)", fullmatch=True)
)
def test_an_artifact_is_never_written_elsewhere(name: str) -> None:
    root = Path("/course")
    try:
        path = artifact_path(root, name)
    except BadInputError:
        return
    assert path.parent in (root / "policies", root / "manifests")
    assert path.suffix in (".rego", ".hcl", ".yaml", ".yml")


def test_manifests_know_their_lines() -> None:
    found = read_manifests("manifests/x.yaml", TWO_OBJECTS)
    assert [(manifest.title, manifest.line) for manifest in found] == [("ConfigMap a", 3), ("ConfigMap b", 7)]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: [1,\n", 2, "expected"),
        ("a: !!python/object:os.system {}\n", 1, "could not determine a constructor"),
        ("- a\n- b\n", 1, "not a Kubernetes object"),
        ("---\n---\nkind: X\n", 3, "apiVersion or kind is missing"),
        ("apiVersion: v1\nkind: X\nmetadata: {name: 3}\n", 1, "metadata.name is missing"),
    ],
)
def test_a_bad_manifest_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    [problem] = lint_yaml("manifests/x.yaml", text)
    assert problem.line == line
    assert words in problem.message
    with pytest.raises(BadInputError, match=f"manifests/x.yaml:{line}: "):
        read_manifests("manifests/x.yaml", text)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(BadInputError) as refusal:
        refuse([Problem("a.rego", 3, "one"), Problem("b.rego", 0, "two")])
    assert refusal.value.message == "a.rego:3: one\nb.rego: two"


def resources(path: str) -> dict[str, list[dict[str, object]]]:
    if path != "/api/v1":
        raise BadInputError("not found", hint="look")
    return {
        "resources": [
            {"name": "pods", "kind": "Pod", "namespaced": True},
            {"name": "pods/log", "kind": "Pod", "namespaced": True},
            {"name": "namespaces", "kind": "Namespace", "namespaced": False},
        ]
    }


def test_objects_are_kept_where_the_server_says() -> None:
    kinds = Kinds("aws", resources)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "training"}}
    assert kinds.collection(pod) == "/api/v1/namespaces/training/pods"
    assert (
        kinds.collection({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}) == "/api/v1/namespaces"
    )


@pytest.mark.parametrize(
    ("version", "kind", "words"),
    [
        ("v1", "Pood", "no kind Pood in v1"),
        ("v1", "Pod", "names no namespace"),
        ("apps/v9", "Pod", "no apiVersion apps/v9"),
    ],
)
def test_what_the_server_does_not_have_is_said(version: str, kind: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        Kinds("aws", resources).collection({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}})


def test_the_course_is_found_upwards_or_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOD209_COURSE", raising=False)
    inside = tmp_path / "labs" / "zero-trust" / "notebooks"
    inside.mkdir(parents=True)
    (tmp_path / "labs" / "zero-trust" / "lab.yaml").touch()
    monkeypatch.chdir(inside)
    assert course_dir() == tmp_path
    monkeypatch.setenv("MOD209_COURSE", "/elsewhere")
    assert course_dir() == Path("/elsewhere")


def test_no_course_and_no_footprint_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOD209_COURSE", "MOD209_ACCESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MOD209_STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match="course's folder is not here"):
        course_dir()
    with pytest.raises(BadInputError, match="No footprint of zero-trust is running"):
        access_file("zero-trust")
