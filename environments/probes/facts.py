"""What `{placeholders}` in probes stand for: facts of the cloud asked, and choices that the seed makes."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from environments.access import Access
from environments.params import token
from environments.platform import Workload, platform

Item = TypeVar("Item")
CONTAINERS: Final = ("main", "app", "server", "worker", "model", "run")
TEAMS: Final = ("ml", "models", "platform/serving", "research", "team-a/batch")
PLACEHOLDERS: Final = frozenset(
    {
        "cloud",
        "region",
        "registry",
        "REGISTRY",
        "issuer",
        "audience",
        "namespace",
        "account",
        "container",
        "role",
        "policy",
        "data",
        "own",
        "target",
        "identity",
        "target_cloud",
        "target_role",
        "target_identity",
        "team",
        "digest",
        "nonce",
        "other_cloud",
        "other_registry",
        "other_issuer",
        "other_namespace",
        "other_account",
        "other_role",
        "other_identity",
        "health_region",
        "health_region_2",
        "forbidden_region",
        "forbidden_region_2",
        "forbidden_region_3",
        "foreign_region",
    }
)


def check_placeholders(tree: Item) -> Item:
    """Return `tree` as it is, if every placeholder in its texts is known.

    Raises:
        ValueError: naming those that are not.
    """
    if unknown := sorted({name for text in _texts(tree) for name in _names(text)} - PLACEHOLDERS):
        raise ValueError(f"unknown placeholder {', '.join(unknown)}; known are {', '.join(sorted(PLACEHOLDERS))}")
    return tree


def render(tree: Any, facts: Mapping[str, str]) -> Any:
    """A copy of `tree` with the placeholders of all its texts filled in. Keys of mappings are left alone."""
    if isinstance(tree, str):
        return tree.format_map(facts)
    if isinstance(tree, Mapping):
        return {key: render(value, facts) for key, value in tree.items()}
    if isinstance(tree, Sequence):
        return [render(item, facts) for item in tree]
    return tree


def pick(options: Sequence[Item], seed: bytes, *words: str) -> Item:
    """The one of `options` that `seed` draws for `words`."""
    return options[int(token(seed, *words, length=16), 16) % len(options)]


def shuffled(options: Sequence[str], seed: bytes, *words: str) -> list[str]:
    """`options` in the order that `seed` draws for `words`."""
    return sorted(options, key=lambda option: token(seed, *words, option, length=64))


def facts_of(access: Access, seed: bytes, probe_id: str, cloud: str, workload: Workload) -> dict[str, str]:
    """Every placeholder but `target` (which is a path) for one workload's request on one cloud."""
    words = (probe_id, cloud, workload.role)
    own = access.params.clouds[cloud]
    other = pick([name for name in access.params.clouds if name != cloud], seed, "other-cloud", *words)
    peer = pick([peer for peer in platform().workloads if peer != workload], seed, "peer", *words)
    healthy = shuffled(own.health_regions, seed, "healthy", *words)
    forbidden = shuffled(
        [region for region in own.regions if region not in own.health_regions], seed, "forbidden", *words
    )
    return {
        "cloud": cloud,
        "region": own.region,
        "registry": own.registry,
        "REGISTRY": own.registry.upper(),
        "issuer": access.clouds[cloud].issuer,
        "audience": access.params.audience,
        "namespace": workload.namespace,
        "account": workload.account,
        "container": pick((*CONTAINERS, workload.account), seed, "container", *words),
        "role": workload.role,
        "policy": workload.policy(cloud),
        "data": workload.data,
        "own": workload.secret(cloud),
        "target": workload.secret(cloud),
        "identity": workload.identity(cloud),
        "target_cloud": cloud,
        "target_role": workload.role,
        "target_identity": workload.identity(cloud),
        "team": pick(TEAMS, seed, "team", *words),
        "digest": token(seed, "digest", *words, length=64),
        "nonce": token(seed, "nonce", *words),
        "other_cloud": other,
        "other_registry": access.params.clouds[other].registry,
        "other_issuer": access.clouds[other].issuer,
        "other_namespace": peer.namespace,
        "other_account": peer.account,
        "other_role": peer.role,
        "other_identity": peer.identity(cloud),
        "health_region": healthy[0],
        "health_region_2": healthy[-1],
        "forbidden_region": forbidden[0],
        "forbidden_region_2": forbidden[1 % len(forbidden)],
        "forbidden_region_3": forbidden[2 % len(forbidden)],
        "foreign_region": pick(access.params.clouds[other].health_regions, seed, "foreign", *words),
    }


def _texts(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _texts(value)
    elif isinstance(tree, Sequence):
        for item in tree:
            yield from _texts(item)


def _names(text: str) -> Iterator[str]:
    for _, name, _, _ in string.Formatter().parse(text):
        if name is not None:
            yield name
