"""A webhook's certificate from an authority of its own, for an engine that would otherwise be slow to make one."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from environments.kind.policyengines.engine import Object
from environments.pki import Authority


def with_certificate(documents: Iterable[Object], secret: str) -> list[Object]:
    """The documents with a new certificate in the Secret of that name, and its authority in all webhooks."""
    whole = list(documents)
    [service] = {(at["name"], at["namespace"]) for document in whole for at in _services(document)}
    authority = Authority(secret)
    pair = authority.service(*service)
    data = {"tls.crt": _base64(pair.cert), "tls.key": _base64(pair.key), "ca.crt": _base64(authority.cert)}
    return [_changed(document, secret, data) for document in whole]


def _changed(document: Object, secret: str, data: dict[str, str]) -> Object:
    if document["kind"] == "Secret" and document["metadata"]["name"] == secret:
        return {**document, "data": data}
    if "webhooks" not in document:
        return document
    hooks = [
        {**one, "clientConfig": {**one["clientConfig"], "caBundle": data["ca.crt"]}} for one in document["webhooks"]
    ]
    return {**document, "webhooks": hooks}


def _services(document: Object) -> list[dict[str, Any]]:
    return [one["clientConfig"]["service"] for one in document.get("webhooks", ())]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
