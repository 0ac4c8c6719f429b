"""Lint Rego and HCL with the real tools: `opa check` without dangerous built-ins, and `vault policy fmt`."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from environments.baseline.objects import HERE as BASELINE
from environments.scratch import scratch

PACKAGE = ("mod209", "admission")
ASKER = BASELINE / "system.rego"
WRONG_DENY = "deny is not a set of messages: write `deny contains message if { … }`"
TOOL_SECONDS = 10.0
# Pure, but a look into how or where OPA runs; nothing that an admission policy needs.
FORBIDDEN_BUILTINS = frozenset({"trace", "rego.metadata.chain", "rego.parse_module", "opa.runtime", "http.send"})
HCL_PLACE = re.compile(r"At (\d+):(\d+): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file. Lines and columns count from 1; 0 where the tool names none."""

    file: str
    line: int
    column: int
    message: str

    @classmethod
    def of(cls, file: str, message: str) -> Problem:
        """A problem of a whole file."""
        return cls(file, 0, 0, message)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Linter:
    """Runs the tools on texts in a temporary folder."""

    def __init__(self, opa: Path, vault: Path) -> None:
        self._opa = opa
        self._vault = vault

    def check(self, files: dict[str, str]) -> list[Problem]:
        """All problems of `files` (name to text); Rego modules are checked together."""
        rego = {name: text for name, text in files.items() if name.endswith(".rego")}
        problems = self._rego(rego) if rego else []
        for name, text in files.items():
            if name.endswith(".hcl"):
                problems += self._hcl(name, text)
            elif not name.endswith(".rego"):
                problems.append(Problem.of(name, "neither .rego nor .hcl"))
        return problems

    @cached_property
    def _capabilities(self) -> str:
        """What this OPA can do, less what is not deterministic (HTTP, DNS, time, random numbers) or forbidden."""
        current = json.loads(self._run([str(self._opa), "capabilities", "--current"]).stdout)
        current["builtins"] = [
            builtin
            for builtin in current["builtins"]
            if not builtin.get("nondeterministic") and builtin["name"] not in FORBIDDEN_BUILTINS
        ]
        current["allow_net"] = []
        return json.dumps(current)

    def _rego(self, files: dict[str, str]) -> list[Problem]:
        with scratch("lint") as folder:
            names = _write(folder, files)
            capabilities = folder / "capabilities.json"
            capabilities.write_text(self._capabilities)
            # Checked together with what asks for `deny`, so that a `deny` of the wrong shape is found here.
            argv = [str(self._opa), "check", "--format=json", f"--capabilities={capabilities}", str(ASKER), *names]
            checked = self._run(argv)
            if checked.returncode:
                return _opa_problems(checked, names)
            return [problem for path, name in names.items() for problem in self._package(path, name)]

    def _package(self, path: str, name: str) -> list[Problem]:
        parsed = self._run([str(self._opa), "parse", "--format=json", path])
        words = [term["value"] for term in json.loads(parsed.stdout)["package"]["path"]][1:]
        if tuple(words[: len(PACKAGE)]) == PACKAGE:
            return []
        return [
            Problem(
                name, 1, 1, f"package {'.'.join(words)}: a policy must be in package {'.'.join(PACKAGE)} or below it"
            )
        ]

    def _hcl(self, name: str, text: str) -> list[Problem]:
        with scratch("lint") as folder:
            file = folder / "policy.hcl"
            file.write_text(text)
            done = self._run([str(self._vault), "policy", "fmt", str(file)])
        if done.returncode == 0:
            return []
        message = done.stderr.strip().removeprefix("Error")[:500].replace(str(file), name)
        if place := HCL_PLACE.search(message):
            return [Problem(name, int(place[1]), int(place[2]), place[3].strip())]
        return [Problem.of(name, message)]

    def _run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                argv, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False, env={"HOME": "/nonexistent"}
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 1, "", f"not checked within {TOOL_SECONDS:.0f} s")


def _write(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Write under names of our own, so that a name can do no harm; path to the name given."""
    paths = {}
    for number, (name, text) in enumerate(files.items()):
        path = folder / f"{number}-{PurePosixPath(name).stem[:40] or 'policy'}.rego"
        path.write_text(text)
        paths[str(path)] = name
    return paths


def _opa_problems(done: subprocess.CompletedProcess[str], names: dict[str, str]) -> list[Problem]:
    try:
        errors = json.loads(done.stderr or done.stdout)["errors"]
    except (ValueError, KeyError):
        return [Problem.of(next(iter(names.values())), (done.stderr or done.stdout)[:500] or "opa check failed")]
    problems = []
    for error in errors:
        place = error.get("location") or {}
        if name := names.get(place.get("file", "")):
            problems.append(Problem(name, place.get("row", 0), place.get("col", 0), error.get("message", "")))
        else:
            problems.append(Problem.of(next(iter(names.values())), WRONG_DENY))
    return problems
