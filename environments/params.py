"""Per-learner parameters: facts of the clouds that differ from learner to learner, so that a copied answer fails.

They derive from HMAC-SHA256 of the learner's id under the instructor's term key. The instructor computes them again when
grading; without the key nobody can compute another learner's.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from pydantic import ValidationError

from environments.errors import BadInputError
from environments.platform import platform
from environments.yamlfile import Strict, read_text

PRACTICE_LEARNER = "practice"
PRACTICE_KEY = b"mod209 practice: not a secret, used where no instructor gave parameters"
LEARNER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
KEY_BYTES = 32


class CloudParams(Strict):
    """One cloud's facts for one learner. `region` is where its control plane stands, `health_regions` where health data may be."""

    region: str
    regions: list[str]
    health_regions: list[str]
    registry: str


class LearnerParams(Strict):
    """All facts that the learner's work must fit."""

    learner: str
    audience: str
    clouds: dict[str, CloudParams]


def derive(learner: str, term_key: bytes) -> LearnerParams:
    """The parameters of `learner` (an id of letters, digits and `._@-`) in the term of `term_key`.

    Raises:
        BadInputError: the id is not one that can name a folder.
    """
    check_learner_id(learner)
    clouds = {name: _cloud(learner, term_key, name, spec.regions) for name, spec in platform().clouds.items()}
    return LearnerParams(
        learner=learner, audience=f"vault-{token(term_key, learner, 'audience')}.mod209.example", clouds=clouds
    )


def read_params(path: Path) -> LearnerParams:
    """The parameters in the file `path`, as an instructor gave them.

    Raises:
        BadInputError: it holds none.
    """
    try:
        return LearnerParams.model_validate_json(read_text(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(
            f"{path} does not hold a learner's parameters: {first['msg']}.",
            hint="Use the file from your bundle, unchanged.",
        ) from None


def practice() -> LearnerParams:
    """The parameters used where no instructor gave any."""
    return derive(PRACTICE_LEARNER, PRACTICE_KEY)


def check_learner_id(learner: str) -> None:
    """Refuse an id that could not safely name a folder.

    Raises:
        BadInputError: see above.
    """
    if not LEARNER_ID.fullmatch(learner):
        raise BadInputError(
            f"{learner[:80]!r} cannot be a learner's id.",
            hint="Use 1 to 64 letters, digits, dots, dashes, underscores or @, starting with a letter or digit.",
        )


def token(term_key: bytes, *words: str, length: int = 8) -> str:
    """`length` hex digits that only the holder of `term_key` can compute from `words`."""
    message = "\0".join(words).encode()
    return hmac.new(term_key, message, hashlib.sha256).hexdigest()[:length]


def read_term_key(path: Path) -> bytes:
    """The instructor's key of this term; made, for the owner's eyes only, where the file does not exist yet.

    Raises:
        BadInputError: the file cannot be read, others can read it, or it is too short.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(secrets.token_bytes(KEY_BYTES))
        if path.stat().st_mode & 0o077:
            raise BadInputError(f"Others can read the term key {path}.", hint=f"Run: chmod 600 {path}")
        key = path.read_bytes()
    except OSError as error:
        raise BadInputError(
            f"Cannot use the term key {path}: {error.strerror}.", hint="Name another file by --term-key."
        ) from None
    if len(key) < KEY_BYTES:
        raise BadInputError(
            f"The term key {path} is shorter than {KEY_BYTES} bytes.", hint="Delete the file to have a new one made."
        )
    return key


def _cloud(learner: str, key: bytes, name: str, regions: list[str]) -> CloudParams:
    order = sorted(regions, key=lambda region: token(key, learner, name, "region", region, length=64))
    return CloudParams(
        region=order[0],
        regions=sorted(regions),
        health_regions=sorted(order[:2]),
        registry=f"registry-{token(key, learner, name, 'registry')}.{name}.mod209.example",
    )
