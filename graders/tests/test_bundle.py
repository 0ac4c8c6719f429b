"""Bundles: the same bytes again, all or none, each learner's own; and what is said about a bad roster or a used lab folder."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from environments import console
from environments.errors import BadInputError, StorageError
from environments.labspec import load_lab
from environments.params import LearnerParams, derive, practice
from graders.bundle import command
from graders.bundle.archive import packed, with_sums
from graders.bundle.command import write_bundles
from graders.bundle.contents import Common, bundle_files, common
from graders.bundle.project import locked, read_project
from graders.bundle.roster import read_roster
from graders.cli import add_commands

COURSE = Path(__file__).parents[2]
SLUG = "zero-trust"
KEY = b"a term key that is only for tests of bundles"


@pytest.fixture(scope="module")
def shared() -> Common:
    return common(COURSE, SLUG)


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A copy of what a bundle is made from."""
    for part in (f"labs/{SLUG}", f"solutions/{SLUG}/notebooks"):
        shutil.copytree(COURSE / part, tmp_path / "course" / part)
    for name in ("pyproject.toml", "requirements.lock", "LICENSE"):
        shutil.copyfile(COURSE / name, tmp_path / "course" / name)
    return tmp_path / "course"


def opened(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    app = typer.Typer()
    add_commands(app)
    monkeypatch.setattr("sys.argv", ["mod209", "bundle", SLUG, *words])
    return console.run(app)


def test_the_same_course_makes_the_same_bytes(shared: Common, course: Path, tmp_path: Path) -> None:
    """From another folder, at another time, with other modes of files."""
    for path in course.rglob("*"):
        path.chmod(0o700)
    (course / "labs" / SLUG / "notebooks" / "policies").mkdir()
    (course / "labs" / SLUG / "notebooks" / "policies" / "mine.rego").write_text("package mine")
    (course / "labs" / SLUG / ".ipynb_checkpoints").mkdir()
    ada = derive("ada", KEY)
    [first] = write_bundles(shared, [ada], tmp_path / "a").values()
    [again] = write_bundles(common(course, SLUG), [ada], tmp_path / "b").values()
    assert first == again == hashlib.sha256((tmp_path / "a" / f"{SLUG}-ada.tar.gz").read_bytes()).hexdigest()


def test_a_bundle_is_whole_and_checks_itself(shared: Common, tmp_path: Path) -> None:
    write_bundles(shared, [derive("ada", KEY)], tmp_path)
    files = {name.removeprefix(f"{SLUG}-ada/"): data for name, data in opened(tmp_path / f"{SLUG}-ada.tar.gz").items()}
    spec = load_lab(COURSE, SLUG)
    notebooks = {f"labs/{SLUG}/notebooks/{task.notebook}" for task in spec.tasks}
    probes = {str(path.relative_to(COURSE)) for path in (COURSE / "labs" / SLUG / "probes").iterdir()}
    made = {"START-HERE.md", "bundle.json", "params.json", "requirements.txt", "SHA256SUMS"}
    assert files.keys() >= notebooks | probes | made | {f"labs/{SLUG}/lab.yaml", f"labs/{SLUG}/README.md"}
    sums = {line[66:]: line[:64] for line in files.pop("SHA256SUMS").decode().splitlines()}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert json.loads(files["bundle.json"])["lab_version"] == spec.version
    assert LearnerParams.model_validate_json(files["params.json"]) == derive("ada", KEY)


def test_who_names_nobody_gets_practice_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MOD209_CONFIG", str(tmp_path / "config"))
    assert run(monkeypatch, "--out", str(tmp_path / "out"), "--course", str(COURSE), "--json") == 0
    [told] = json.loads(capsys.readouterr().out)
    files = opened(Path(told["archive"]))
    assert LearnerParams.model_validate_json(files[f"{SLUG}-practice/params.json"]) == practice()
    assert not (tmp_path / "config").exists(), "nobody needs a key for practice"


def test_a_class_gets_an_archive_each(
    shared: Common, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "common", lambda course, lab: shared)
    (tmp_path / "class.csv").write_text('name,id\r\n"Lovelace, Ada",ada\r\nBen,ben@example.org\r\n')
    key = tmp_path / "term.key"
    words = ["--roster", str(tmp_path / "class.csv"), "--out", str(tmp_path / "out"), "--term-key", str(key)]
    assert run(monkeypatch, *words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{SLUG}-ada.tar.gz",
        f"{SLUG}-ben@example.org.tar.gz",
    }
    for learner in ("ada", "ben@example.org"):
        params = opened(tmp_path / "out" / f"{SLUG}-{learner}.tar.gz")[f"{SLUG}-{learner}/params.json"]
        assert LearnerParams.model_validate_json(params) == derive(learner, key.read_bytes())
    assert run(monkeypatch, *words, "--learner", "ada") == 3
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize("blow", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_all_or_none(shared: Common, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blow: BaseException) -> None:
    (tmp_path / f"{SLUG}-ada.tar.gz").write_bytes(b"of last year")
    done: list[str] = []

    def pack(top: str, files: dict[str, bytes]) -> bytes:
        if done:
            raise blow
        done.append(top)
        return packed(top, files)

    monkeypatch.setattr(command, "packed", pack)
    with pytest.raises((KeyboardInterrupt, StorageError)):
        write_bundles(shared, [derive("ada", KEY), derive("ben", KEY)], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {f"{SLUG}-ada.tar.gz": b"of last year"}


def test_answers_in_the_labs_own_folder_stop_the_bundle(course: Path) -> None:
    notebook = next((course / "labs" / SLUG / "notebooks").glob("zt-2*.ipynb"))
    notebook.write_text(notebook.read_text().replace("raise NotImplementedError", "the_answer()"))
    with pytest.raises(BadInputError, match=re.escape(notebook.name)):
        common(course, SLUG)


@pytest.mark.parametrize("name", ["answers.md", "data/x.csv"])
def test_what_nobody_has_decided_about_stops_the_bundle(course: Path, name: str) -> None:
    path = course / "labs" / SLUG / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("?")
    with pytest.raises(BadInputError, match="nothing that a bundle knows"):
        common(course, SLUG)


def test_a_link_is_not_followed(course: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cr3t")
    (course / "labs" / SLUG / "probes" / "more.yaml").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInputError, match="no plain file"):
        common(course, SLUG)


def test_every_requirement_is_pinned_and_hashed(shared: Common) -> None:
    text = shared.files["requirements.txt"].decode()
    blocks = re.split(r"\n(?=[^\s#])", text)[1:]
    assert all(
        re.match(r"(\S+==\S+|\./mod209_environments-\S+\.whl) \\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n?)+$", one)
        for one in blocks
    )
    names = {block.split("==")[0] for block in blocks}
    assert {"jupyterlab", "ipywidgets", "hvac", "tornado", "pydantic-core"} <= names
    assert not {"nbgrader", "pytest", "distributed", "docker", "mypy", "playwright", "sqlalchemy", "setuptools"} & names


def test_a_lock_that_lacks_a_dependency_is_said(course: Path) -> None:
    project = read_project(course)
    (course / "requirements.lock").write_text("httpx==1 \\\n    --hash=sha256:00\n    # via mod209 (pyproject.toml)\n")
    with pytest.raises(BadInputError, match="does not hold cryptography"):
        locked(course, project.dependencies)
    (course / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(BadInputError, match="is not as the course's"):
        read_project(course)


@pytest.mark.parametrize(
    ("data", "learners"),
    [
        (b"id\nada\nben\n", ["ada", "ben"]),
        ("\ufeffID;x\n".replace(";", ",").encode() + b"ada,1\r\n\r\nben,2", ["ada", "ben"]),
        (b'name, id \n"two\nlines",ada\n', ["ada"]),
    ],
)
def test_a_roster_is_read(tmp_path: Path, data: bytes, learners: list[str]) -> None:
    (tmp_path / "r.csv").write_bytes(data)
    assert read_roster(tmp_path / "r.csv") == learners


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ["r.csv:1: there must be one column `id`; the first line names nothing"]),
        (b"id;name\nada;x\n", ["r.csv:1: there must be one column `id`; the first line names id;name"]),
        (b"id,id\nada,ben\n", ["r.csv:1: there must be one column `id`"]),
        (b"id\n", ["there is no learner in it"]),
        (b"id\nada\nAda\n", ["r.csv:3: Ada is in line 2 already"]),
        (
            b'n,id\n"a\nb",ada\nx,../b\ny\nz,ada\n',
            ["r.csv:4: '../b' cannot", "r.csv:5: this line has no", "r.csv:6: ada is in line 2"],
        ),
        (b'id,n\nada,"x\nben,y\n', ["r.csv:2: this is no CSV"]),
        (b'id,n\nada,"x"y\n', ["r.csv:2: this is no CSV"]),
        (b"id\n\xff\xfe\n", ["is not UTF-8 text"]),
        ("id\n".encode("utf-16"), ["is not UTF-8 text"]),
        (b"id\na\0b\n", ["r.csv:2"]),
    ],
)
def test_a_bad_roster_is_refused_with_its_lines(tmp_path: Path, data: bytes, words: list[str]) -> None:
    (tmp_path / "r.csv").write_bytes(data)
    with pytest.raises(BadInputError) as refusal:
        read_roster(tmp_path / "r.csv")
    assert [word for word in words if word not in refusal.value.message] == []


@given(st.binary(max_size=80) | st.text(st.sampled_from('id,ada"\n\r;\ufeff '), max_size=80).map(str.encode))
def test_a_roster_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("r") / "r.csv"
    path.write_bytes(data)
    try:
        learners = read_roster(path)
    except BadInputError:
        return
    assert len({learner.casefold() for learner in learners}) == len(learners) > 0


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,9}(/[a-z]{1,9}){0,3}", fullmatch=True), st.binary(max_size=99), max_size=5)
)
def test_an_archive_depends_on_its_files_alone(files: dict[str, bytes]) -> None:
    turned = dict(reversed(files.items()))
    data = packed("top", with_sums(files))
    assert data == packed("top", with_sums(turned))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert {one.name: (one.uid, one.uname, one.mode, one.isreg()) for one in archive} == {
            f"top/{name}": (0, "", 0o644, True) for name in with_sums(files)
        }


def test_bundles_of_two_learners_differ_in_their_own_files_alone(shared: Common) -> None:
    ada, ben = (bundle_files(shared, derive(learner, KEY)) for learner in ("ada", "ben"))
    assert {name for name in ada if ada[name] != ben[name]} == {
        "params.json",
        "bundle.json",
        "START-HERE.md",
        "SHA256SUMS",
    }
