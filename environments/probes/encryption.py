"""Probes of the encrypted table: what is readable without a key, who opens what, and which keys are dead."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from environments.baseline.cohort import COLUMNS, SECRET_LABELS
from environments.baseline.vault import transit_mount
from environments.platform import platform
from environments.probes.cases import Case
from environments.probes.clients import json_of, message_of
from environments.probes.cohort import Cohort, token_of
from environments.probes.facts import pick
from environments.probes.kinds.table import TableProbe
from environments.probes.observation import ALLOWED, REFUSED, BrokenError, Finding, UnreachableError, brief
from environments.probes.plaintext import Search, TooMuchError
from environments.probes.table import open_bound, place
from environments.probes.wire import Wire, let_through

SHOWN: Final = 3
CONFIGMAPS: Final = "/api/v1/namespaces/{}/configmaps"
# What else operators may write that is kept, with room for text.
OTHERS: Final = (
    *(
        f"/api/v1/namespaces/{{}}/{kind}"
        for kind in ("serviceaccounts", "pods", "podtemplates", "replicationcontrollers")
    ),
    *(f"/apis/apps/v1/namespaces/{{}}/{kind}" for kind in ("deployments", "statefulsets", "daemonsets", "replicasets")),
    *(f"/apis/batch/v1/namespaces/{{}}/{kind}" for kind in ("jobs", "cronjobs")),
)
TOO_OLD: Final = "too old"  # what Vault says before it tries to decrypt
DISALLOWED: Final = (
    "disallowed"  # what Vault says with status 500 where a key's settings forbid it to give the key away
)
DANGEROUS: Final = ("exportable", "allow_plaintext_backup", "deletion_allowed")
MANAGED: Final = (
    "keys/{}",
    "keys/{}/config",
    "keys/{}/rotate",
    "keys/{}/trim",
    "export/encryption-key/{}",
    "backup/{}",
)
EXPORTS: Final = {"export": "export/encryption-key/{}", "backup": "backup/{}"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question: the probe, whose request it is, and the table that it is about."""

    probe: TableProbe
    case: Case
    wire: Wire
    cohort: Cohort

    @property
    def label(self) -> str:
        """The label whose key or fields it is about."""
        return self.probe.label

    @property
    def row(self) -> str:
        """The id of the row that the seed draws."""
        ids = [row["id"] for row in self.cohort.rows]
        return str(pick(ids, self.wire.seed, "row", self.probe.id, self.cohort.cloud))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Whether it was possible, and what there is to say about it."""

    allowed: bool
    detail: str = ""


def ask_table(probe: TableProbe, case: Case, wire: Wire) -> Finding:
    """Ask it. A refusal counts only if the feature store opens the same: `Cohort` raises `BrokenError` where it does not."""
    question = Question(probe=probe, case=case, wire=wire, cohort=Cohort(case.target_cloud, wire))
    try:
        answer = ANSWERS[probe.ask](question)
    except BrokenError as error:
        return Finding(
            request=_request(question), expected=probe.expect, got="error", detail=brief(str(error)), ok=False
        )
    got = ALLOWED if answer.allowed else REFUSED
    detail, ok = brief(answer.detail), got == probe.expect
    return Finding(request=_request(question), expected=probe.expect, got=got, detail=detail, ok=ok)


def _clear(question: Question) -> Answer:
    """Look for values of the delivered table and for data keys. That none is found counts only for a table that is there."""
    cloud, wire = question.cohort.cloud, question.wire
    kinds = (CONFIGMAPS,) if question.probe.how == "configmaps" else OTHERS
    search = Search({**_values(question.cohort), **_data_keys(question.cohort)})
    try:
        for namespace in platform().namespaces:
            for kind in kinds:
                for item in _items(wire, cloud, kind.format(namespace)):
                    if told := _readable(search, item):
                        what = kind.rpartition("/")[2].removesuffix("s")
                        return Answer(allowed=True, detail=f"{what} {namespace}/{item['metadata']['name']}: {told}")
    except TooMuchError:
        raise BrokenError("More is stored in the platform's namespaces than can be looked through.") from None
    question.cohort.stored()
    return Answer(allowed=False)


def _values(cohort: Cohort) -> dict[str, str]:
    columns = [column for label in SECRET_LABELS for column in COLUMNS[label]]
    return {f"{column} of {row['id']}": row[column] for row in cohort.rows for column in columns}


def _data_keys(cohort: Cohort) -> dict[str, bytes]:
    """As far as they are to be had: a table that is not encrypted yet has none."""
    try:
        return {
            f"{label} data key of {row}": key
            for label in SECRET_LABELS
            for row, key in cohort.data_keys(label).items()
            if key
        }
    except BrokenError:
        return {}


def _items(wire: Wire, cloud: str, path: str) -> list[dict[str, Any]]:
    answer = wire.clients.kube(cloud, "GET", path)
    items = json_of(answer).get("items")
    if answer.is_error or not isinstance(items, list):
        raise UnreachableError(f"{cloud} does not list {path}: {brief(message_of(answer))}")
    return items


def _readable(search: Search, item: Mapping[str, Any]) -> str:
    """What of it is readable, and where; empty if nothing is."""
    parts = {key: value for key, value in item.items() if key != "metadata"}
    parts |= {f"metadata.{key}": value for key, value in item["metadata"].items()}
    for where, tree in parts.items():
        if names := list(dict.fromkeys(search.found_in(tree))):
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            return f"{', '.join(names[:SHOWN])}{more}, in {where}"
    return ""


def _recover(question: Question) -> Answer:
    label, opened = question.label, question.cohort.opened(question.label)
    wrong = [
        row["id"]
        for row in question.cohort.rows
        if opened[row["id"]].fields != {column: row[column] for column in COLUMNS[label]}
    ]
    return Answer(
        allowed=not wrong, detail=f"Not as delivered: {label} fields of {', '.join(wrong[:SHOWN])}" if wrong else ""
    )


def _use(question: Question) -> Answer:
    """Use the key that wraps the label's data keys, as the workload, on a row that the feature store can open."""
    key = question.cohort.data_keys(question.label)[question.row]
    token = token_of(question.wire, question.case.cloud, question.case.workload)
    if question.probe.how == "manage":
        return _manage(question, token)
    wrapped = question.cohort.stored()[question.row].envelope(question.label).key
    bodies = {
        "decrypt": {"ciphertext": wrapped},
        "rewrap": {"ciphertext": wrapped},
        "encrypt": {"plaintext": "bm9uZQ=="},
    }
    answer = question.cohort.ask(token, f"{question.probe.how}/{question.label}", bodies.get(question.probe.how, {}))
    if question.probe.expect == REFUSED:
        return Answer(allowed=let_through(answer))
    plaintext = str((json_of(answer).get("data") or {}).get("plaintext", ""))
    same = not plaintext or base64.b64decode(plaintext) == key
    return Answer(allowed=answer.is_success and same, detail="" if answer.is_success else message_of(answer))


def _manage(question: Question, token: str) -> Answer:
    mount = transit_mount(question.cohort.cloud)
    paths = [f"{mount}/{path.format(question.label)}" for path in MANAGED]
    answer = question.wire.clients.vault("POST", "sys/capabilities-self", token, {"paths": paths})
    # A role without the default policy is not told: its right.
    told = json_of(answer) if let_through(answer) else {}
    more = [f"{', '.join(told[path])} on {path}" for path in paths if set(told.get(path) or ()) - {"deny"}]
    return Answer(allowed=bool(more), detail="; ".join(more))


def _outdated(question: Question) -> Answer:
    """Show Vault a key that it wrapped, as if by an older version. It tells which versions are dead before it decrypts."""
    wrapped = question.cohort.stored()[question.row].envelope(question.label).key
    question.cohort.data_keys(question.label)
    latest = int(question.cohort.key(question.label)["latest_version"])
    if latest == 1:
        return Answer(allowed=True, detail="The key was never rotated: what version 1 has wrapped it also unwraps.")
    token = question.cohort.reader()
    for version in sorted({1, latest - 1}):
        old = f"vault:v{version}:{wrapped.split(':')[2]}"
        answer = question.cohort.ask(token, f"decrypt/{question.label}", {"ciphertext": old})
        if TOO_OLD not in message_of(answer):
            return Answer(allowed=True, detail=f"Version {version} of {latest} may still decrypt.")
    return Answer(allowed=False)


def _current(question: Question) -> Answer:
    latest = int(question.cohort.key(question.label)["latest_version"])
    question.cohort.data_keys(question.label)
    versions = Counter(row.envelope(question.label).version for row in question.cohort.stored().values())
    told = ", ".join(f"{count} by version {version}" for version, count in sorted(versions.items()))
    return Answer(
        allowed=latest > 1 and set(versions) == {latest}, detail=f"Wrapped keys: {told}; the latest is {latest}."
    )


def _settings(question: Question) -> Answer:
    question.cohort.data_keys(question.label)
    key = question.cohort.key(question.label)
    granted = [name for name in DANGEROUS if key.get(name)]
    return Answer(allowed=bool(granted), detail=f"The key says: {', '.join(granted)}." if granted else "")


def _export(question: Question) -> Answer:
    """Only the judge may try: an operator is refused for want of a right, which says nothing of the key."""
    question.cohort.data_keys(question.label)
    path = f"{transit_mount(question.cohort.cloud)}/{EXPORTS[question.probe.how].format(question.label)}"
    answer = question.wire.clients.vault("GET", path, question.wire.access.vault.token)
    failed = answer.is_server_error and DISALLOWED not in message_of(answer)
    if answer.status_code == httpx.codes.FORBIDDEN or failed:
        raise UnreachableError(f"Vault does not say whether it would export: {brief(message_of(answer))}")
    return Answer(allowed=answer.is_success)


def _moved(question: Question) -> Answer:
    """Open envelopes as if they belonged elsewhere, by whatever associated data opens them where they belong."""
    label, cloud = question.label, question.cohort.cloud
    keys, opened, stored = question.cohort.data_keys(label), question.cohort.opened(label), question.cohort.stored()
    for row, target in _targets(question):
        if open_bound(stored[row].envelope(label), keys[row], target, opened[row].bound):
            return Answer(allowed=True, detail=f"{label} of {row} on {cloud} opens as {'/'.join(target)}.")
    return Answer(allowed=False)


def _targets(question: Question) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Rows, and where what is theirs does not belong."""
    ids, cloud = [row["id"] for row in question.cohort.rows], question.cohort.cloud
    other_cloud = next(name for name in platform().clouds if name != cloud)
    other_label = next(label for label in SECRET_LABELS if label != question.label)
    for row, other in zip(ids, ids[1:] + ids[:1], strict=True):
        match question.probe.how:
            case "row":
                yield row, place(cloud, other, question.label)
            case "label":
                yield row, place(cloud, row, other_label)
            case _:
                yield row, place(other_cloud, row, question.label)


def _shared(question: Question) -> Answer:
    keys = [key for label in SECRET_LABELS for key in question.cohort.data_keys(label).values()]
    most = max(Counter(keys).values())
    return Answer(allowed=most > 1, detail=f"One data key opens {most} envelopes." if most > 1 else "")


ANSWERS: Final[Mapping[str, Callable[[Question], Answer]]] = {
    "clear": _clear,
    "recover": _recover,
    "use": _use,
    "outdated": _outdated,
    "current": _current,
    "settings": _settings,
    "export": _export,
    "moved": _moved,
    "shared": _shared,
}


def _request(question: Question) -> str:
    cloud, label, how = question.cohort.cloud, question.label, question.probe.how
    who = f"{question.case.workload.namespace}/{question.case.workload.account} of {question.case.cloud}"
    key = f"{transit_mount(cloud)}/keys/{label}"
    where = "ConfigMap" if how == "configmaps" else "object but ConfigMaps"
    return {
        "clear": f"read a personal or health value, or a data key, in any {where} of the platform's namespaces on {cloud}",
        "recover": f"{who}: open the {label} fields of all rows, as delivered",
        "use": f"{who}: {how} with {key}",
        "outdated": f"{who}: unwrap a data key that an older version of {key} has wrapped",
        "current": f"{who}: unwrap data keys that are wrapped by the latest version of {key}, which was rotated",
        "settings": f"export, back up or delete {key}, by its settings",
        "export": f"{how} of {key}",
        "moved": f"{who}: open {label} fields that were moved to another {how}",
        "shared": f"{who}: open two envelopes of {cloud} with one data key",
    }[question.probe.ask]
