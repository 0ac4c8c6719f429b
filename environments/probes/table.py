"""The encrypted table as it is stored: its form, and how its fields are opened."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Annotated, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from environments.baseline.cohort import Row
from environments.probes.observation import BrokenError

WRAPPED_KEY: Final = r"^vault:v[1-9][0-9]{0,5}:[A-Za-z0-9+/]{1,2000}={0,2}$"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # GCM hashes any other length down, and so may meet one twice
SHOWN: Final = 3


def _from_base64(text: str) -> str:
    base64.b64decode(text, validate=True)
    return text


Base64 = Annotated[str, AfterValidator(_from_base64)]


class Envelope(BaseModel):
    """The fields of one label of one row: encrypted, with the key that opens them, which Vault has wrapped."""

    key: str = Field(pattern=WRAPPED_KEY)
    nonce: Base64
    data: Base64

    @property
    def version(self) -> int:
        """The version of Vault's key that wrapped this one's."""
        return int(self.key.split(":")[1].removeprefix("v"))


class StoredRow(BaseModel):
    """One row: what is internal in plain text, and an envelope for each other label."""

    id: str
    region: str
    visits: int
    personal: Envelope
    health: Envelope

    def envelope(self, label: str) -> Envelope:
        """The envelope of a label."""
        return self.health if label == "health" else self.personal


TABLE: Final = TypeAdapter(list[StoredRow])


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An envelope that was opened. `bound` are the parts of the place that its associated data is made of."""

    fields: dict[str, Any] = field(repr=False)
    bound: tuple[int, ...]


def read_table(text: str, rows: Sequence[Row]) -> dict[str, StoredRow]:
    """The stored rows by id.

    Raises:
        BrokenError: they do not have the form of an encrypted table, or are not exactly `rows` in what is internal.
    """
    try:
        found = TABLE.validate_json(text)
    except ValidationError as error:
        raise BrokenError(f"The table is not stored in the form that the task gives: {_problems(error)}") from None
    stored = {row.id: row for row in found}
    wrong = [row["id"] for row in rows if not _same(row, stored.get(row["id"]))]
    if wrong or len(found) != len(rows):
        named = ", ".join(wrong[:SHOWN]) or "there are rows that nobody delivered"
        raise BrokenError(f"Not every row is there once, with its region and visits as delivered: {named}")
    return stored


def place(cloud: str, row: str, label: str) -> tuple[str, ...]:
    """Where an envelope belongs; joined by slashes this is its associated data."""
    return (cloud, "cohort", row, label)


def open_envelope(envelope: Envelope, data_key: bytes, where: tuple[str, ...]) -> Opened | None:
    """Open an envelope with its data key as one that belongs to `where`; None if it does not open.

    A reader whose associated data names less than the whole place, or nothing, can open it as well.
    """
    return next((opened for bound in _bindings() if (opened := open_bound(envelope, data_key, where, bound))), None)


def open_bound(envelope: Envelope, data_key: bytes, where: tuple[str, ...], bound: tuple[int, ...]) -> Opened | None:
    """The same, with associated data of the parts `bound` of the place."""
    nonce, data = base64.b64decode(envelope.nonce), base64.b64decode(envelope.data)
    if (len(data_key), len(nonce)) != (KEY_BYTES, NONCE_BYTES):
        return None
    associated = "/".join(where[part] for part in bound).encode()
    try:
        fields = json.loads(AESGCM(data_key).decrypt(nonce, data, associated or None))
    except (InvalidTag, ValueError, RecursionError):  # shorter than a tag, or no JSON inside
        return None
    return Opened(fields=fields, bound=bound) if isinstance(fields, dict) else None


def _bindings() -> Iterator[tuple[int, ...]]:
    """Choices of the place's four parts: all first, none last."""
    for count in range(4, -1, -1):
        yield from combinations(range(4), count)


def _same(row: Row, stored: StoredRow | None) -> bool:
    return stored is not None and (stored.region, stored.visits) == (row["region"], row["visits"])


def _problems(error: ValidationError) -> str:
    """Where it is wrong and why, of the first few, without what stands there."""
    told = []
    for problem in error.errors(include_input=False, include_url=False)[:SHOWN]:
        where = ".".join(str(part) for part in problem["loc"])
        told.append(re.sub(r"\s+", " ", f"{where or 'as a whole'}: {problem['msg']}"))
    return "; ".join(told)
