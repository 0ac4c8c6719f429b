"""The table with labelled data, and whether a value of it is found in whatever disguise."""

from __future__ import annotations

import base64
import codecs
import gzip
import json
import os
import zlib
from collections.abc import Callable
from itertools import product
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from environments.baseline import cohort
from environments.params import derive
from environments.platform import platform
from environments.probes.observation import BrokenError
from environments.probes.plaintext import MOST, Search, TooMuchError
from environments.probes.table import Envelope, open_bound, open_envelope, place, read_table

KEY = b"k" * 32
CLOUDS = tuple(platform().clouds)
ROWS = cohort.rows(derive("ada", KEY), "aws")
SECRET = "E11.9 type 2 diabetes"
WRAPPED = "vault:v1:" + "A" * 40
ALL, NOTHING = (0, 1, 2, 3), ()


def values(learner: str, cloud: str) -> set[tuple[str, str]]:
    return {(row["name"], row["postcode"]) for row in cohort.rows(derive(learner, KEY), cloud)}


def test_every_learner_and_cloud_has_rows_of_its_own_always_the_same() -> None:
    tables = [values(learner, cloud) for learner, cloud in product(("ada", "bob"), CLOUDS)]
    assert all(len(table) == cohort.ROWS for table in tables)
    assert not set.intersection(*tables)
    assert cohort.rows(derive("ada", KEY), "gcp") == cohort.rows(derive("ada", KEY), "gcp")


def test_columns_are_those_of_the_labels_and_ids_the_same_everywhere() -> None:
    assert set(ROWS[0]) == {column for columns in cohort.COLUMNS.values() for column in columns}
    assert set(cohort.COLUMNS) <= set(platform().data_labels)
    ids = {tuple(row["id"] for row in cohort.rows(derive("ada", KEY), cloud)) for cloud in CLOUDS}
    assert len(ids) == 1


@pytest.mark.parametrize("learner", ["ada", "bob"])
def test_no_labelled_value_can_stand_in_base64_by_chance(learner: str) -> None:
    for cloud in CLOUDS:
        for row in cohort.rows(derive(learner, KEY), cloud):
            texts = [row[column] for label in cohort.SECRET_LABELS for column in cohort.COLUMNS[label]]
            assert all(set(text) & set(" .") and text.isascii() for text in texts)


def test_the_delivered_table_keeps_a_copy_as_kubectl_does() -> None:
    table = cohort.table(derive("ada", KEY), "aws")
    assert json.loads(table["data"]["rows.json"]) == ROWS
    applied = json.loads(table["metadata"]["annotations"][cohort.LAST_APPLIED])
    assert applied["data"] == table["data"]


def found(tree: object, needle: str | bytes = SECRET) -> bool:
    return bool(list(Search({"it": needle}).found_in(tree)))


Wrapping = Callable[[bytes], bytes]
WRAPPINGS: dict[str, Wrapping] = {
    "as it is": lambda raw: raw,
    "base64": base64.b64encode,
    "base64 in lines": base64.encodebytes,
    "base64 for URLs, unpadded": lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"="),
    "hex": lambda raw: raw.hex().encode(),
    "HEX": lambda raw: raw.hex().upper().encode(),
    "gzip": lambda raw: base64.b64encode(gzip.compress(raw)),
    "zlib": lambda raw: base64.b64encode(zlib.compress(raw)),
}


@pytest.mark.parametrize("text", [SECRET, SECRET.upper(), SECRET[::-1], codecs.encode(SECRET, "rot13"), quote(SECRET)])
def test_a_value_is_found_as_it_is_and_in_the_cheapest_disguises(text: str) -> None:
    for tree in (text, {text: "x"}, {"a": [{"b": f"before {text} after"}]}):
        assert found(tree)


@given(st.lists(st.sampled_from(sorted(WRAPPINGS)), max_size=3), st.binary(max_size=20), st.binary(max_size=20))
def test_a_value_is_found_in_wrappings_of_wrappings(names: list[str], before: bytes, after: bytes) -> None:
    raw = before + SECRET.encode() + after
    for name in names:
        raw = WRAPPINGS[name](raw)
    assert found({"data": {"x": raw.decode("latin-1")}})


def test_a_value_in_utf_16_and_bytes_of_a_key_are_found() -> None:
    assert found(base64.b64encode(SECRET.encode("utf-16")).decode())
    data_key = os.urandom(32)
    assert found({"cached": base64.b64encode(data_key).decode()}, data_key)
    assert found(data_key.hex(), data_key)


@given(st.binary(min_size=1, max_size=300))
def test_nothing_is_found_in_what_is_encrypted(plain: bytes) -> None:
    data = AESGCM(KEY).encrypt(bytes(12), SECRET.encode() + plain, None)
    assert not found({"key": WRAPPED, "data": base64.b64encode(data).decode()})


def test_what_is_too_much_is_said_to_be_and_a_bomb_is_not_inflated() -> None:
    with pytest.raises(TooMuchError):
        found(["x" * (MOST // 8)] * 9)
    bomb = base64.b64encode(gzip.compress(bytes(50 << 20))).decode()
    assert not found(bomb)


def sealed(
    fields: str, where: tuple[str, ...], bound: tuple[int, ...], key: bytes = KEY, nonce: bytes = bytes(12)
) -> Envelope:
    associated = "/".join(where[part] for part in bound).encode()
    data = AESGCM(key).encrypt(nonce, fields.encode(), associated or None)
    return Envelope(key=WRAPPED, nonce=base64.b64encode(nonce).decode(), data=base64.b64encode(data).decode())


places = st.builds(place, st.sampled_from(CLOUDS), st.sampled_from([row["id"] for row in ROWS]), st.sampled_from(cohort.SECRET_LABELS))  # fmt: skip


@given(places, places)
def test_an_envelope_opens_in_its_own_place_and_no_other(own: tuple[str, ...], other: tuple[str, ...]) -> None:
    envelope = sealed('{"name": "x"}', own, ALL)
    opened = open_envelope(envelope, KEY, own)
    assert opened
    assert (opened.fields, opened.bound) == ({"name": "x"}, ALL)
    assert (open_bound(envelope, KEY, other, ALL) is not None) == (own == other)


@given(places, places)
def test_one_that_is_bound_to_nothing_opens_everywhere_and_is_known_for_it(
    own: tuple[str, ...], other: tuple[str, ...]
) -> None:
    envelope = sealed("{}", own, NOTHING)
    opened = open_envelope(envelope, KEY, own)
    assert opened
    assert opened.bound == NOTHING
    assert open_bound(envelope, KEY, other, opened.bound)


@pytest.mark.parametrize("key", [KEY[:5], b"", b"j" * 32])
def test_a_wrong_key_of_whatever_length_opens_nothing(key: bytes) -> None:
    assert open_envelope(sealed("{}", place("aws", "p-0001", "health"), ALL), key, ("aws", "x", "y", "z")) is None


@pytest.mark.parametrize(
    ("key", "nonce"), [(KEY[:16], bytes(12)), (KEY[:24], bytes(12)), (KEY, bytes(8)), (KEY, bytes(16))]
)
def test_a_data_key_or_nonce_of_another_length_than_the_task_says_does_not_count(key: bytes, nonce: bytes) -> None:
    where = place("aws", "p-0001", "health")
    assert open_envelope(sealed("{}", where, ALL, key, nonce), key, where) is None


@pytest.mark.parametrize("inside", ["no JSON", "[1]", "[" * 5000, "\0"])
def test_what_is_no_object_inside_does_not_open(inside: str) -> None:
    where = place("aws", "p-0001", "health")
    assert open_envelope(sealed(inside, where, ALL), KEY, where) is None


ENVELOPE = {"key": WRAPPED, "nonce": "AAAA", "data": "AAAA"}
GOOD = [
    {column: row[column] for column in cohort.COLUMNS["internal"]} | {"personal": ENVELOPE, "health": ENVELOPE}
    for row in ROWS
]


def test_a_table_of_the_right_form_is_read() -> None:
    stored = read_table(json.dumps(GOOD), ROWS)
    assert list(stored) == [row["id"] for row in ROWS]
    assert stored["p-0001"].envelope("health").version == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "as a whole"),
        ("{", "as a whole"),
        ("[" * 100_000, "as a whole"),
        ("[]", "p-0001, p-0002, p-0003"),
        (json.dumps(ROWS), "0.personal"),
        (json.dumps(GOOD[1:]), "p-0001"),
        (json.dumps([*GOOD, GOOD[0]]), "nobody delivered"),
        (json.dumps([GOOD[0] | {"visits": 99}, *GOOD[1:]]), "p-0001"),
        (json.dumps([GOOD[0] | {"health": ENVELOPE | {"key": "vault:v1:../../x"}}, *GOOD[1:]]), "0.health.key"),
        (json.dumps([GOOD[0] | {"health": ENVELOPE | {"data": "no base64!"}}, *GOOD[1:]]), "0.health.data"),
    ],
)
def test_a_table_of_another_form_is_refused_and_says_where(text: str, told: str) -> None:
    with pytest.raises(BrokenError, match=told) as refused:
        read_table(text, ROWS)
    assert not any(row["diagnosis"] in str(refused.value) for row in ROWS)
