"""A learner's right answer to ZT-7 in few lines, for tests that need an encrypted table."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from environments.baseline import cohort
from environments.platform import Workload, platform
from environments.probes.cohort import PATH, READER
from environments.probes.tokens import service_account_token
from environments.tests.securing import Operator

LABELS = cohort.SECRET_LABELS


def encrypt(operator: Operator) -> None:
    """Log in, encrypt, rotate, rewrap and shut, on every cloud."""
    for cloud in operator.access.clouds:
        operator.trust_issuer(cloud)
        for workload in platform().workloads:
            operator.write_role(cloud, workload)
            operator.write_policy(cloud, workload, policy(cloud, workload))
        for label in LABELS:
            operator.vault(f"transit-{cloud}/keys/{label}", {})
        store(operator, cloud, rotated(operator, cloud, encrypted(operator, cloud)))
        for label in LABELS:
            operator.vault(f"transit-{cloud}/keys/{label}/config", {"min_decryption_version": 2})


def policy(cloud: str, workload: Workload) -> str:
    """What a workload may do with the keys of its cloud, beside reading its own secret."""
    opens = {READER: LABELS, "training-trainer": ("personal",)}.get(workload.role, ())
    paths = [f"transit-{cloud}/decrypt/{label}" for label in opens]
    paths += [f"transit-{cloud}/datakey/plaintext/{label}" for label in opens if workload.role == READER]
    own = f'path "kv/data/{workload.secret(cloud)}" {{ capabilities = ["read"] }}\n'
    return own + "".join(f'path "{path}" {{ capabilities = ["update"] }}\n' for path in paths)


def feature_store(operator: Operator, cloud: str) -> str:
    """A Vault token of the feature store."""
    jwt = service_account_token(operator.clients, cloud, "features", "feature-store", operator.access.params.audience)
    answer = operator.clients.vault("POST", f"auth/jwt-{cloud}/login", None, {"role": READER, "jwt": jwt})
    return str(answer.raise_for_status().json()["auth"]["client_token"])


def encrypted(operator: Operator, cloud: str) -> list[dict[str, Any]]:
    """The rows of a cloud, encrypted."""
    token = feature_store(operator, cloud)
    return [
        {column: row[column] for column in cohort.COLUMNS["internal"]}
        | {label: seal(operator, token, cloud, row, label) for label in LABELS}
        for row in cohort.rows(operator.access.params, cloud)
    ]


def seal(operator: Operator, token: str, cloud: str, row: cohort.Row, label: str) -> dict[str, str]:
    """One envelope."""
    made = operator.clients.vault("POST", f"transit-{cloud}/datakey/plaintext/{label}", token, {}).json()["data"]
    nonce, fields = os.urandom(12), {column: row[column] for column in cohort.COLUMNS[label]}
    associated = f"{cloud}/cohort/{row['id']}/{label}".encode()
    data = AESGCM(base64.b64decode(made["plaintext"])).encrypt(nonce, json.dumps(fields).encode(), associated)
    return {
        "key": made["ciphertext"],
        "nonce": base64.b64encode(nonce).decode(),
        "data": base64.b64encode(data).decode(),
    }


def rotated(operator: Operator, cloud: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their data keys wrapped by a new version."""
    token = operator.access.vault.token
    for label in LABELS:
        operator.vault(f"transit-{cloud}/keys/{label}/rotate", {})
        batch = {"batch_input": [{"ciphertext": row[label]["key"]} for row in rows]}
        answer = operator.clients.vault("POST", f"transit-{cloud}/rewrap/{label}", token, batch)
        for row, result in zip(rows, answer.json()["data"]["batch_results"], strict=True):
            row[label]["key"] = result["ciphertext"]
    return rows


def store(operator: Operator, cloud: str, rows: list[dict[str, Any]]) -> None:
    """Replace the table as a whole."""
    metadata = {"name": cohort.NAME, "namespace": cohort.NAMESPACE}
    table = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"rows.json": json.dumps(rows)}}
    operator.clients.kube(cloud, "PUT", PATH, table).raise_for_status()
