"""The graded checks as a set: one function for each check of the lab, each with advice of its own."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from environments.labspec import load_lab
from environments.probes import load_probes
from graders.judge.marks import check_of
from graders.judge.runner import CHECKS

COURSE = Path(__file__).parents[2]
SLUG = "zero-trust"


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def functions() -> dict[str, Callable[..., object]]:
    """Check id -> function, over all files of the lab; an id given twice would be seen as a missing one."""
    found = [
        (check_of(function), function)
        for path in sorted((CHECKS / SLUG).glob("check_*.py"))
        for name, function in inspect.getmembers(load(path), inspect.isfunction)
        if name.startswith("check_")
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_check_of_the_lab_has_one_function_and_no_function_is_too_much() -> None:
    assert functions().keys() == {check.id for check in load_lab(COURSE, SLUG).checks}


def test_every_check_advises_in_its_own_words() -> None:
    advice = [inspect.getdoc(function) or "" for function in functions().values()]
    assert all(len(text.splitlines()) > 2 for text in advice)
    assert len(advice) == len(set(advice))


def test_advice_gives_no_hidden_probe_away() -> None:
    hidden = load_probes(COURSE / "solutions" / SLUG / "probes", visible=False)
    advice = " ".join(inspect.getdoc(function) or "" for function in functions().values())
    assert not [probe.id for probe in hidden if probe.id in advice or probe.why in advice]
