"""Is a value readable in what somebody stored? Also where it is only wrapped: base64, hex, compressed, reversed."""

from __future__ import annotations

import base64
import binascii
import codecs
import contextlib
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

DEPTH: Final = 4  # wrappings in each other, as in base64 of base64 of gzip
MOST: Final = 16 << 20  # characters that one search looks through
INFLATED: Final = 1 << 20  # bytes that one compressed text may become
BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}){8,}")
GZIP: Final = b"\x1f\x8b"
ZLIB: Final = b"\x78"
AUTODETECT: Final = 32 + zlib.MAX_WBITS


class TooMuchError(Exception):
    """There is more than a search looks through."""


class Search:
    """Looks for `needles` (what each is called, and its text or bytes) in one thing after another."""

    def __init__(self, needles: Mapping[str, str | bytes]) -> None:
        # Latin-1 makes of each byte one character, so that bytes are found as text.
        self._needles = {
            name: needle.casefold() if isinstance(needle, str) else needle.decode("latin-1").casefold()
            for name, needle in needles.items()
        }
        self._left = MOST

    def found_in(self, tree: object) -> Iterator[str]:
        """Names of needles that are readable in any text of a JSON tree, keys included.

        Raises:
            TooMuchError: this and what was searched before is too much.
        """
        for text in texts_of(tree):
            yield from self._found(text, DEPTH)

    def _found(self, text: str, depth: int) -> Iterator[str]:
        self._left -= len(text)
        if self._left < 0:
            raise TooMuchError
        folded = text.casefold()
        yield from (name for name, needle in self._needles.items() if needle in folded)
        if depth:
            for inner in unwrapped(text, outermost=depth == DEPTH):
                yield from self._found(inner, depth - 1)


def texts_of(tree: object) -> Iterator[str]:
    """All texts of a JSON tree: keys, values, and numbers as they are written."""
    open_ends: list[Any] = [tree]
    while open_ends:
        node = open_ends.pop()
        if isinstance(node, Mapping):
            open_ends += [*node.keys(), *node.values()]
        elif isinstance(node, list):
            open_ends += node
        elif node is not None:
            yield str(node)


def unwrapped(text: str, *, outermost: bool = False) -> Iterator[str]:
    """What a text may stand for, where it can be read in another way; the cheap disguises only for one that nobody made."""
    if outermost:
        yield text[::-1]
        yield codecs.encode(text, "rot13")
        if "%" in text:
            yield unquote(text)
    if "\0" in text:  # UTF-16 and its kin
        yield text.replace("\0", "")
    folded = "".join(text.split())
    tokens = {folded, *BASE64.findall(text)} if BASE64.fullmatch(folded) else set(BASE64.findall(text))
    for token in tokens:
        yield from map(_readable, _decoded(token))


def _decoded(token: str) -> Iterator[bytes]:
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    with_padding = body + "=" * (-len(body) % 4)
    with contextlib.suppress(binascii.Error):
        yield base64.b64decode(with_padding)
    if HEX.fullmatch(token):
        yield bytes.fromhex(token)


def _readable(raw: bytes) -> str:
    if raw.startswith((GZIP, ZLIB)):
        with contextlib.suppress(zlib.error):
            raw = zlib.decompressobj(AUTODETECT).decompress(raw, INFLATED)
    return raw.decode("latin-1")
