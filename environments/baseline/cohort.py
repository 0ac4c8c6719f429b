"""The table with labelled data that stands on every cloud before a learner begins: a cohort of patients, none of whom exists.

Its values derive from the learner's parameters, so that a table that somebody else encrypted is another table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from environments.params import LearnerParams

NAMESPACE: Final = "features"
NAME: Final = "cohort"
ROWS_KEY: Final = "rows.json"  # where in the ConfigMap's data the rows are
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
ROWS: Final = 20
# Columns by their label. What is internal stays readable; the other labels are what has to be encrypted.
COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "internal": ("id", "region", "visits"),
    "personal": ("name", "postcode"),
    "health": ("diagnosis", "medication"),
}
SECRET_LABELS: Final = ("personal", "health")
GIVEN: Final = (
    "Ada Amir Anouk Bela Carmen Dilan Edda Emeka Farah Goran Hanne Ines "
    "Jonas Kiran Leila Mateo Nadia Oskar Priya Quentin Rosa Samir Tove Yusuf"
)
FAMILY: Final = (
    "Abelard Bergqvist Castellan Drummond Eberhart Fontaine Grimaldi Hollander Ivanovic Jankowski Kessler Lindqvist "
    "Marchetti Nordstrom Okonkwo Pellegrin Quintero Rasmussen Szymanski Thorvald Ustinov Vandermeer Wakefield Zielinski"
)
# Codes are those of ICD-10.
ILLNESSES: Final = (
    ("E11.9 type 2 diabetes", "metformin 500 mg"),
    ("I10 essential hypertension", "ramipril 5 mg"),
    ("J45.9 bronchial asthma", "salbutamol 100 mcg"),
    ("F32.1 depressive episode", "sertraline 50 mg"),
    ("G43.1 migraine with aura", "sumatriptan 50 mg"),
    ("M06.9 rheumatoid arthritis", "methotrexate 10 mg"),
    ("E03.9 hypothyroidism", "levothyroxine 75 mcg"),
    ("I48.0 atrial fibrillation", "apixaban 5 mg"),
    ("B20 HIV disease", "dolutegravir 50 mg"),
    ("C50.9 breast carcinoma", "tamoxifen 20 mg"),
    ("G40.3 generalised epilepsy", "lamotrigine 100 mg"),
    ("K50.9 Crohn disease", "azathioprine 50 mg"),
)
Row = dict[str, Any]


def rows(params: LearnerParams, cloud: str) -> list[Row]:
    """The learner's rows on `cloud`, as they were delivered: every column of `COLUMNS` in plain text.

    `id` is the same on every cloud; `visits` is a number, all else is ASCII text.
    """
    seed = hashlib.sha256(f"{params.model_dump_json()}\0{cloud}".encode()).digest()
    return [_row(_Draw(seed, number), number, params.clouds[cloud].health_regions) for number in range(1, ROWS + 1)]


def table(params: LearnerParams, cloud: str) -> dict[str, Any]:
    """The ConfigMap that holds them, as whoever delivered it left it: by `kubectl apply`, which keeps a copy."""
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    data = {ROWS_KEY: json.dumps(rows(params, cloud), indent=1)}
    applied = {**head, "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": {}}, "data": data}
    metadata = {"name": NAME, "namespace": NAMESPACE, "annotations": {LAST_APPLIED: json.dumps(applied) + "\n"}}
    return {**head, "metadata": metadata, "data": data}


class _Draw:
    """Choices that one row's seed makes."""

    def __init__(self, seed: bytes, number: int) -> None:
        self._seed = seed + number.to_bytes(4, "big")

    def below(self, limit: int, what: str) -> int:
        digest = hashlib.sha256(self._seed + what.encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def one(self, options: Sequence[Any], what: str) -> Any:
        return options[self.below(len(options), what)]


def _row(draw: _Draw, number: int, regions: Sequence[str]) -> Row:
    diagnosis, medication = draw.one(ILLNESSES, "illness")
    # No postal service has an area ZZ.
    postcode = f"ZZ{draw.below(90, 'area') + 10} {draw.below(9, 'sector')}{draw.one('ABDEFGHJLN', 'a')}{draw.one('PQRSTUWXYZ', 'b')}"
    return {
        "id": f"p-{number:04}",
        "region": draw.one(regions, "region"),
        "visits": draw.below(40, "visits") + 1,
        "name": f"{draw.one(GIVEN.split(), 'given')} {draw.one(FAMILY.split(), 'family')}",
        "postcode": postcode,
        "diagnosis": diagnosis,
        "medication": medication,
    }
