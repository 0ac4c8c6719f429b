"""Intake: what is refused, what is left out, what is put back, and that no submission disturbs another."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.errors import BadInputError
from environments.handin.folder import FolderError, read_folder
from environments.handin.notebook import Cell, NotebookError, is_locked, parse, parse_release, render
from environments.labspec import LabSpec
from graders.intake import Intake, Refused, Staged, take_in
from graders.locked import restore

Submit = Callable[..., Path]
ZT1 = "zt-1-identity-federation.ipynb"


@pytest.fixture
def run(released: Path, zt_spec: LabSpec, tmp_path: Path) -> Callable[[], Intake]:
    return lambda: take_in(tmp_path / "submitted", zt_spec, released, tmp_path / "staging")


def only(intake: Intake) -> Staged | Refused:
    (one,) = intake.submissions
    return one


def staged(intake: Intake) -> Staged:
    one = only(intake)
    assert isinstance(one, Staged), one
    return one


def refusal(intake: Intake) -> str:
    one = only(intake)
    assert isinstance(one, Refused), one
    return one.error


def edit(folder: Path, change: Callable[[list[Any]], None], name: str = ZT1) -> None:
    notebook = json.loads((folder / name).read_text())
    change(notebook["cells"])
    (folder / name).write_text(json.dumps(notebook))


def ids(path: Path) -> list[str | None]:
    return [cell.grade_id for cell in parse(path.read_bytes())]


# What is taken in


def test_untouched_notebooks_come_through_unchanged(submit: Submit, run: Callable[[], Intake], released: Path) -> None:
    submit("ann", {"policies/admission.rego": "package mod209.admission\n"})
    one = staged(run())
    assert one.notes == ()
    assert (one.path / "policies/admission.rego").read_text() == "package mod209.admission\n"
    for notebook in released.iterdir():
        assert parse_release((one.path / notebook.name).read_bytes()) == parse_release(notebook.read_bytes())
        nbformat.validate(nbformat.read(one.path / notebook.name, as_version=4))


def test_digest_depends_on_paths_and_bytes_alone(submit: Submit, run: Callable[[], Intake]) -> None:
    for learner, text in (("ann", "a"), ("bob", "a"), ("cid", "b")):
        submit(learner, {"policies/p.rego": text})
    ann, bob, cid = (one.sha256 for one in run().submissions)
    assert ann == bob
    assert ann != cid


@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}\.txt", fullmatch=True), st.binary(max_size=20), max_size=5))
def test_digest_is_injective_on_what_is_stored(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("digest")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    first = read_folder(folder)
    (folder / "one-more.txt").write_bytes(b"")
    assert first.files == files
    assert read_folder(folder).sha256 != first.sha256


def test_files_of_other_kinds_are_left_out_and_noted(submit: Submit, run: Callable[[], Intake]) -> None:
    submit(
        "ann",
        {"model.bin": b"\0" * 9, ".git/config": "x", "__pycache__/a.txt": "", "scratch.ipynb": "{}", "n.txt": "n"},
    )
    one = staged(run())
    assert {path.name for path in one.path.iterdir()} >= {"n.txt", ZT1}
    assert not (one.path / "scratch.ipynb").exists()
    assert not (one.path / ".git").exists()
    for name in ("model.bin", ".git", "__pycache__", "scratch.ipynb"):
        assert any(note.startswith(f"{name} was left out") for note in one.notes)


def test_outputs_attachments_and_metadata_are_not_taken_in(submit: Submit, run: Callable[[], Intake]) -> None:
    folder = submit("ann")
    notebook = json.loads((folder / ZT1).read_text())
    notebook["metadata"] = {"kernelspec": {"name": "evil", "display_name": "x"}, "widgets": {"a": "<script>"}}
    notebook["cells"][0]["attachments"] = {"a.svg": {"image/svg+xml": "<script>"}}
    notebook["cells"][2]["outputs"] = [
        {"output_type": "display_data", "data": {"text/html": "<script>"}, "metadata": {}}
    ]
    notebook["cells"][2]["metadata"]["tags"] = ["<script>"]
    (folder / ZT1).write_text(json.dumps(notebook))
    data = (staged(run()).path / ZT1).read_text()
    assert "<script>" not in data
    assert json.loads(data)["metadata"]["kernelspec"]["name"] == "python3"


def test_lone_surrogate_in_a_cell_becomes_a_readable_file(submit: Submit, run: Callable[[], Intake]) -> None:
    edit(submit("ann"), lambda cells: cells[2].update(source='x = "\ud800"'))
    assert parse((staged(run()).path / ZT1).read_bytes())[2].source == 'x = "\ufffd"'


# Locked cells


def test_changed_locked_cell_is_put_back(submit: Submit, run: Callable[[], Intake]) -> None:
    edit(submit("ann"), lambda cells: cells[4].update(source="print('all passed')"))
    one = staged(run())
    assert parse((one.path / ZT1).read_bytes())[4].source == 'lab.check("ZT-1")'
    assert one.notes == (f"{ZT1}: The locked cell ZT-1 was changed; the lab's own was put back.",)


def test_answers_and_own_cells_stay_in_the_learners_order(submit: Submit, run: Callable[[], Intake]) -> None:
    def change(cells: list[Any]) -> None:
        cells[2]["source"] = ["a = 1\n", "b = 2"]
        cells.insert(1, {"cell_type": "code", "source": "mine", "metadata": {}, "outputs": []})
        cells.append(cells.pop(0))

    edit(submit("ann"), change)
    one = staged(run())
    cells = parse((one.path / ZT1).read_bytes())
    assert [cell.grade_id or cell.source for cell in cells] == [
        "mine", "zt-1-setup", "zt-1-answer", "zt-1-why", "ZT-1", "The end.", "zt-1-lesson",
    ]  # fmt: skip
    assert cells[2].source == "a = 1\nb = 2"
    assert one.notes == ()


@pytest.mark.parametrize("place", range(5))
def test_missing_cell_comes_back_in_its_place(
    submit: Submit, run: Callable[[], Intake], released: Path, place: int
) -> None:
    edit(submit("ann"), lambda cells: cells.pop(place))
    one = staged(run())
    assert ids(one.path / ZT1) == ids(released / ZT1)
    assert len(one.notes) == 1
    assert "was missing" in one.notes[0]


def test_several_missing_cells_come_back_in_order(submit: Submit, run: Callable[[], Intake], released: Path) -> None:
    edit(submit("ann"), lambda cells: cells.__setitem__(slice(None), cells[3:4]))
    assert ids(staged(run()).path / ZT1) == ids(released / ZT1)[:-1]


def test_copies_of_cells_do_not_pass_for_the_originals(submit: Submit, run: Callable[[], Intake]) -> None:
    def change(cells: list[Any]) -> None:
        cells.extend([cells[2] | {"source": "copied = 1"}, cells[4] | {"source": "copied_lock = 1"}])

    edit(submit("ann"), change)
    one = staged(run())
    cells = parse((one.path / ZT1).read_bytes())
    assert [cell.grade_id for cell in cells].count("zt-1-answer") == 1
    assert [cell.source for cell in cells][-1] == "copied = 1"
    assert len(one.notes) == 2


def test_forged_grade_cell_loses_its_mark(submit: Submit, run: Callable[[], Intake]) -> None:
    forged = {"nbgrader": {"grade_id": "ZT-9", "grade": True, "points": 100}}
    edit(submit("ann"), lambda cells: cells.append({"cell_type": "code", "source": "1", "metadata": forged}))
    assert "ZT-9" not in (staged(run()).path / ZT1).read_text()


def test_answer_cell_turned_to_markdown_is_turned_back(submit: Submit, run: Callable[[], Intake]) -> None:
    edit(submit("ann"), lambda cells: cells[2].update(cell_type="markdown"))
    one = staged(run())
    assert parse((one.path / ZT1).read_bytes())[2].cell_type == "code"
    assert "turned back" in one.notes[0]


# What is refused

DEEP = '{"nbformat": 4, "cells": ' + "[" * 100_000 + "]" * 100_000 + "}"
DEEPISH = '{"nbformat": 4, "cells": [], "metadata": ' + "[" * 100 + "]" * 100 + "}"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"[]", "is not a Jupyter notebook"),
        (b"[" * 3 + b"1" * 6000 + b"]" * 3, "is not valid JSON"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"a": NaN}}', "NaN is not JSON"),
        (b'{"nbformat": 3, "worksheets": []}', "format 4"),
        (DEEP.encode(), "nested more than"),
        (DEEPISH.encode(), "nested more than"),
        (b'{"nbformat": 4, "cells": {}}', "is not a Jupyter notebook"),
        (b'{"nbformat": 4, "cells": [1]}', "no cell at place 1"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "evil"}]}', "no cell at place 1"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', "no readable source in cell 1"),
        (
            b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "1", "metadata": [1]}]}',
            "none of the lab's cells",
        ),
        (b'{"nbformat": 4, "cells": []}', "none of the lab's cells"),
        (
            json.dumps({"nbformat": 4, "cells": [{"cell_type": "raw", "source": ""}] * 501}).encode(),
            "more than 500 cells",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_notebook_is_refused_in_one_sentence(
    submit: Submit, run: Callable[[], Intake], data: bytes, problem: str
) -> None:
    submit("ann", {ZT1: data})
    error = refusal(run())
    assert error.startswith(ZT1)
    assert problem in error
    assert "\n" not in error
    assert only(run()).sha256


def test_missing_notebook_is_refused(submit: Submit, run: Callable[[], Intake]) -> None:
    (submit("ann") / ZT1).unlink()
    assert f"{ZT1} is missing" in refusal(run())


def _symlink_file(folder: Path) -> None:
    (folder / "policies").mkdir()
    (folder / "policies/p.rego").symlink_to("/etc/passwd")


def _hard_link(folder: Path) -> None:
    outside = folder.parents[2] / "secret.txt"
    outside.write_text("secret")
    os.link(outside, folder / "mine.txt")


def _socket(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)  # the path itself may be too long for a socket's name
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{here}/s.txt")
    finally:
        os.close(here)


def _huge(folder: Path) -> None:
    with (folder / "huge.txt").open("wb") as stream:
        stream.truncate(1 << 30)


def _many(folder: Path) -> None:
    for number in range(201):
        (folder / f"{number}.txt").touch()


def _heavy(folder: Path) -> None:
    for number in range(11):
        (folder / f"{number}.txt").write_bytes(b"x" * 1_950_000)


def _deep(folder: Path) -> None:
    (folder / "/".join("abcdefghi")).mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_symlink_file, "policies/p.rego is a link"),
        (lambda folder: (folder / "manifests").symlink_to("/etc"), "manifests is a link"),
        (_hard_link, "mine.txt is also linked from outside"),
        (lambda folder: os.mkfifo(folder / "pipe.txt"), "pipe.txt is a device, pipe or socket"),
        (_socket, "s.txt is a device, pipe or socket"),
        (_huge, "huge.txt is larger than 2 MB"),
        (_many, "more than 200 files"),
        (_heavy, "larger than 20 MB in all"),
        (_deep, "folders more than 8 deep"),
        (lambda folder: (folder / "a\nb.txt").touch(), "odd or overlong name"),
        (lambda folder: (folder / "a\u202eb.txt").touch(), "odd or overlong name"),
        (lambda folder: (folder / "-rf.txt").touch(), "odd or overlong name"),
        (lambda folder: (folder / "..\\up.txt").touch(), None),
        (lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/a\xff.txt")).touch(), "odd or overlong name"),
        (lambda folder: (folder / ("x" * 150 + ".txt")).touch(), "odd or overlong name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_never_taken_in(
    submit: Submit, run: Callable[[], Intake], spoil: Callable[[Path], None], problem: str | None
) -> None:
    spoil(submit("ann"))
    submit("bob")
    ann, bob = run().submissions
    assert isinstance(bob, Staged)
    if problem is None:
        assert isinstance(ann, Staged)
        assert ann.notes
        return
    assert isinstance(ann, Refused)
    assert problem in ann.error
    assert "\n" not in ann.error


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_device_is_refused(submit: Submit, run: Callable[[], Intake]) -> None:
    try:
        os.mknod(submit("ann") / "zero.txt", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no right to make devices here")
    assert "zero.txt is a device" in refusal(run())


@pytest.mark.parametrize("level", ["learner", "lab"])
def test_linked_submission_is_refused(submit: Submit, run: Callable[[], Intake], tmp_path: Path, level: str) -> None:
    folder = submit("bob")
    link, target = {
        "learner": (tmp_path / "submitted/eve", folder.parent),
        "lab": (tmp_path / "submitted/eve/zero-trust", folder),
    }[level]
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    bob, eve = run().submissions
    assert isinstance(bob, Staged)
    assert isinstance(eve, Refused)
    assert "is a link" in eve.error


def test_odd_learner_s_name_cannot_pass_for_another_s(submit: Submit, run: Callable[[], Intake]) -> None:
    submit("ann")
    submit("ann ")
    first, second = run().submissions
    assert (first.learner, second.learner) == ("ann", "'ann'")
    assert isinstance(second, Refused)


def test_folder_swapped_for_a_link_while_read_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out"
    for where in (folder / "policies", outside):
        where.mkdir(parents=True)
    (outside / "secret.txt").write_text("secret")
    real = os.open

    def swapping(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if path == "policies":
            (folder / "policies").rmdir()
            (folder / "policies").symlink_to(outside)
        return real(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", swapping)
    with pytest.raises(FolderError, match="is a link"):
        read_folder(folder)


def test_nothing_to_grade_is_said_plainly(run: Callable[[], Intake], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="Cannot read"):
        run()
    (tmp_path / "submitted/ann/other-lab").mkdir(parents=True)
    with pytest.raises(BadInputError, match="no submission of zero-trust"):
        run()


def test_incomplete_release_is_said_plainly(submit: Submit, run: Callable[[], Intake], released: Path) -> None:
    submit("ann")
    (released / ZT1).unlink()
    with pytest.raises(BadInputError, match="not complete"):
        run()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
CELLS = st.fixed_dictionaries({
    "cell_type": st.sampled_from(["code", "markdown", "raw"]),
    "source": st.text(max_size=9) | st.lists(st.text(max_size=9), max_size=3),
    "metadata": JSON
    | st.fixed_dictionaries({"nbgrader": JSON | st.fixed_dictionaries({"grade_id": st.text() | JSON})}),
    "outputs": JSON | st.lists(st.fixed_dictionaries({"text": JSON, "data": JSON, "traceback": JSON}), max_size=2),
})  # fmt: skip


@given(st.binary(max_size=99) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_notebook_or_a_clean_refusal(data: bytes) -> None:
    with suppress(NotebookError):
        assert parse(render(parse(data))) is not None


@given(st.lists(CELLS, max_size=4))
def test_any_cells_come_through_as_kind_and_source_alone(raws: list[dict[str, Any]]) -> None:
    cells = parse(json.dumps({"nbformat": 4, "cells": raws}).encode())
    bare = [Cell(cell_type=cell.cell_type, source=cell.source) for cell in cells]
    assert parse(render(bare)) == bare
    assert [cell.cell_type for cell in bare] == [raw["cell_type"] for raw in raws]


LAB = [
    Cell(cell_type="code", source=f"print({number})", grade_id=f"c{number}", metadata={"nbgrader": {"locked": locked}})
    for number, locked in enumerate([True, False, True, True, False])
]
LEARNERS = st.lists(
    st.builds(
        lambda grade_id, source, kind: Cell(cell_type=kind, source=source, grade_id=grade_id),
        st.sampled_from([cell.grade_id for cell in LAB] + [None, "foreign"]),
        st.text(max_size=9),
        st.sampled_from(["code", "markdown"]),
    ),
    max_size=9,
)


@given(LEARNERS, st.sampled_from(LAB))
def test_after_restoring_every_cell_of_the_lab_is_there_once(learners: list[Cell], one: Cell) -> None:
    cells, _ = restore(LAB, [*learners, Cell(cell_type="code", source="", grade_id=one.grade_id)])
    by_id = {cell.grade_id: cell for cell in cells if cell.grade_id}
    assert sorted(cell.grade_id for cell in cells if cell.grade_id) == sorted(by_id) == [cell.grade_id for cell in LAB]
    assert all(by_id[cell.grade_id or ""] == cell for cell in LAB if is_locked(cell))
    assert [cell.source for cell in cells if not cell.grade_id] == _own_sources(learners, one)
    assert restore(LAB, cells) == (cells, [])


def _own_sources(learners: list[Cell], one: Cell) -> list[str]:
    """What stays as a cell of the learner's own: cells without a lab's id, and second copies of answers."""
    locks = {cell.grade_id: is_locked(cell) for cell in LAB}
    own, seen = [], set()
    for cell in [*learners, Cell(cell_type="code", source="", grade_id=one.grade_id)]:
        if cell.grade_id not in locks or (cell.grade_id in seen and not locks[cell.grade_id]):
            own.append(cell.source)
        seen.add(cell.grade_id)
    return own
