"""What no repository can hold as it is: links, devices, bombs and odd names, made when a case is handed in."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a case is handed in: its own folder, the notebook in it, and the folder of all learners."""

    folder: Path
    notebook: Path
    submitted: Path


def link_to_a_file(place: Place) -> None:
    (place.folder / "notes.txt").symlink_to("/etc/shadow")


def link_to_another_learner(place: Place) -> None:
    other = place.submitted / "linked-from"
    other.mkdir(exist_ok=True)
    place.folder.rename(other / "elsewhere")
    place.folder.symlink_to(other / "elsewhere", target_is_directory=True)


def link_instead_of_the_notebook(place: Place) -> None:
    place.notebook.unlink()
    place.notebook.symlink_to(place.submitted.parent / "secret.txt")


def hard_link(place: Place) -> None:
    outside = place.submitted.parent / "somebody-elses.txt"
    outside.write_text("not yours")
    os.link(outside, place.folder / "mine.txt")


def pipe(place: Place) -> None:
    os.mkfifo(place.folder / "notes.txt")


def device(place: Place) -> None:
    os.mknod(place.folder / "notes.txt", 0o666 | stat.S_IFCHR, os.makedev(1, 5))


def sparse(place: Place) -> None:
    with (place.folder / "data.json").open("wb") as stream:
        stream.truncate(1 << 40)


def huge_outputs(place: Place) -> None:
    _edit(
        place,
        lambda cell: cell["outputs"].append(
            {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * 3_000_000}}
        ),
    )


def nested(place: Place) -> None:
    place.notebook.write_text('{"cells": ' + "[" * 400_000 + "]" * 400_000 + ', "nbformat": 4}')


def nested_within_reason(place: Place) -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    _edit(place, lambda cell: cell["metadata"].update(deep=deep))


def million_cells(place: Place) -> None:
    place.notebook.write_text('{"cells": [' + "{}," * 600_000 + '{}], "nbformat": 4, "metadata": {}}')


def not_a_number(place: Place) -> None:
    text = place.notebook.read_text()
    place.notebook.write_text(text.replace('"nbformat_minor": 4', '"nbformat_minor": NaN'))


def long_number(place: Place) -> None:
    text = place.notebook.read_text()
    place.notebook.write_text(text.replace('"nbformat_minor": 4', f'"nbformat_minor": {"9" * 1_000_000}'))


def zip_as_notebook(place: Place) -> None:
    place.notebook.unlink()
    _bomb(place.notebook)


def bombs_beside(place: Place) -> None:
    for name in ("work.zip", "work.tar.gz", "model.json", "model.pkl", "model.npy", ".hidden.zip"):
        _bomb(place.folder / name)


def odd_names(place: Place) -> None:
    (place.folder / "a\nb\x1b[2J\u202etxt.json").write_text("{}")


def name_like_an_option(place: Place) -> None:
    (place.folder / "--config=x.py").write_text("")


def name_without_encoding(place: Place) -> None:
    Path(os.fsdecode(os.fsencode(place.folder) + b"/\xff\xfe.txt")).write_text("")


def many_files(place: Place) -> None:
    for number in range(5000):
        (place.folder / f"{number}.txt").touch()


def deep_folders(place: Place) -> None:
    folder = place.folder
    for _ in range(60):
        folder /= "d"
        folder.mkdir()


def folder_as_notebook(place: Place) -> None:
    place.notebook.unlink()
    place.notebook.mkdir()


def notebook_missing(place: Place) -> None:
    place.notebook.rename(place.folder / "my-own-name.ipynb")


def surrogates_and_markup(place: Place) -> None:
    """Outputs of an earlier run, as a notebook can carry them; they must reach nobody's browser."""
    markup = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[2J\x1b]0;title\x07\u202e\ud800</pre>"

    def edit(cell: dict[str, Any]) -> None:
        data = {
            "text/html": markup,
            "text/plain": markup,
            "application/javascript": "alert(3)",
            "image/svg+xml": f"<svg>{markup}</svg>",
        }
        cell["outputs"].append({"output_type": "display_data", "metadata": {markup: markup}, "data": data})
        cell["source"] += f"\n# {markup}" if cell["source"].startswith("#") else ""
        cell["attachments"] = {markup: data}
        cell["metadata"]["tags"] = [markup]

    _edit(place, edit)


def pickled_metadata(place: Place) -> None:
    """Pickles that write a file when they are loaded, where a grader might load one."""
    attack = "cos\nsystem\n(S'touch /tmp/mod209-unpickled'\ntR."

    def edit(cell: dict[str, Any]) -> None:
        cell["metadata"]["pickle"] = attack
        cell["outputs"].append(
            {"output_type": "display_data", "metadata": {}, "data": {"application/x-python-pickle": attack}}
        )

    _edit(place, edit)
    for name in ("model.pkl", "model.joblib", "results.json", "weights.pt", "otter.log", ".OTTER_LOG"):
        (place.folder / name).write_text(attack)


def duplicate_keys(place: Place) -> None:
    """The cells twice: first without any work, as a careless reader sees them, then the real ones."""
    document = json.loads(place.notebook.read_text())
    empty = json.dumps([cell | {"source": "pass"} for cell in document["cells"]])
    place.notebook.write_text(json.dumps(document).replace('"cells": ', f'"cells": {empty}, "cells": ', 1))


def locked_cells(place: Place) -> None:
    """The lab's own cells changed, copied, and their ids put on cells of the learner's."""
    document = json.loads(place.notebook.read_text())
    mine = []
    for cell in document["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("locked"):
            cell["source"] = "raise SystemExit('all checks pass')"
            marks |= {"locked": False, "solution": True, "points": 1000}
            mine.append(json.loads(json.dumps(cell)))
    document["cells"] = [*document["cells"], *mine]
    document["metadata"] = {
        "kernelspec": {"name": "bash", "display_name": "x", "argv": ["/bin/sh"]},
        "widgets": {"x": 1},
    }
    place.notebook.write_text(json.dumps(document))


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", bytes(20 << 20))


def _edit(place: Place, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(place.notebook.read_text())
    for cell in document["cells"]:
        edit(cell)
    place.notebook.write_text(json.dumps(document))


BUILDERS: Final[dict[str, Callable[[Place], None]]] = {
    made.__name__: made
    for made in (
        link_to_a_file,
        link_to_another_learner,
        link_instead_of_the_notebook,
        hard_link,
        pipe,
        device,
        sparse,
        huge_outputs,
        nested,
        nested_within_reason,
        million_cells,
        not_a_number,
        long_number,
        zip_as_notebook,
        bombs_beside,
        odd_names,
        name_like_an_option,
        name_without_encoding,
        many_files,
        deep_folders,
        folder_as_notebook,
        notebook_missing,
        surrogates_and_markup,
        pickled_metadata,
        duplicate_keys,
        locked_cells,
    )
}
