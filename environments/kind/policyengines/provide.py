"""Get what an engine is installed from: its controller by the toolchain, its manifests from the very module of that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import yaml

from environments.errors import StorageError
from environments.kind import images
from environments.kind.policyengines.engine import Engine, Installed, Object
from environments.paths import cache_dir
from environments.scratch import scratch
from environments.toolchain import resolve
from environments.toolchain.build import copy_source
from environments.toolchain.store import write_atomically

# The same parser written in C, where there is one: Kyverno's manifests are 6 MB.
LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def provide(engine: Engine, progress: Callable[[str], None]) -> Installed:
    """Everything that `install` needs.

    Raises:
        ToolError: the controller cannot be built.
        StorageError: the disk is full.
    """
    tool = resolve([engine.name], progress=lambda event: progress(f"{event.tool}: {event.stage.value}"))[engine.name]
    recipe = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))))
    path = cache_dir() / "engines" / f"{engine.name}-{tool.version}-{recipe.hexdigest()[:12]}.json"
    if not path.exists():
        progress(f"{engine.name}: its publisher's manifests")
        kept = [one for document in _documents(engine) if (one := engine.kept(document))]
        _write(path, json.dumps(kept))
    reference = images.reference(engine.name, tool.version)
    return Installed(name=engine.name, archive=images.archive(tool), image=reference, objects=path)


def _documents(engine: Engine) -> list[Object]:
    file = Path(engine.manifests)
    with scratch("engine", cache_dir()) as folder:
        copy_source(engine.name, engine.module, str(file.parent), folder / "source")
        text = (folder / "source" / file.name).read_text()
    return [document for document in yaml.load_all(text, Loader=LOADER) if document]


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise StorageError(
            f"Cannot write to {path.parent}: {error.strerror}.",
            hint="Free some space, or set MOD209_CACHE to a folder on another disk.",
        ) from None
