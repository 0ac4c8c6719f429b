"""The policy engines by name."""

from __future__ import annotations

from typing import Final

from environments.errors import BadInputError
from environments.kind.policyengines.engine import Engine
from environments.kind.policyengines.gatekeeper import GATEKEEPER
from environments.kind.policyengines.kyverno import KYVERNO

ENGINES: Final = {engine.name: engine for engine in (GATEKEEPER, KYVERNO)}
ENGINE_NAMES: Final = tuple(ENGINES)


def engine_named(name: str) -> Engine:
    """The engine of that name.

    Raises:
        BadInputError: there is none.
    """
    if name not in ENGINES:
        raise BadInputError(f"There is no policy engine {name!r}.", hint=f"There are: {', '.join(ENGINE_NAMES)}.")
    return ENGINES[name]
