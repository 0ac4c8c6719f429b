"""Three clusters with OPA and Vault beside a footprint of processes, in one run; and a reset with proof.

`python -m environments.benchmarks.bench_kind [--json] [--rounds N]`. Needs a Docker daemon and the node image.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from environments.benchmarks.table import Row, main, row
from environments.footprint import temporary

MIB = 1 << 20


def measure(rounds: int) -> Iterator[Row]:
    """Boots in turn, then resets of each cluster footprint."""
    seconds: dict[str, list[float]] = {"local": [], "kind": []}
    memory, resets = [], []
    for _ in range(rounds):
        for provider, taken in seconds.items():
            began = time.monotonic()
            with temporary("zero-trust", provider=provider) as footprint:
                taken.append(time.monotonic() - began)
                if provider == "kind":
                    memory.append(footprint.status()["rss_bytes"])
                    resets += [float(footprint.reset()["seconds"]) for _ in range(3)]
    local, kind = (statistics.median(seconds[provider]) for provider in ("local", "kind"))
    yield row("up, all ready: local / kind", "s", local, kind)
    yield row("kind up / the goal of 90 s", "s", kind, 90.0)
    yield row("memory of kind / the goal of 3 GiB", "MiB", statistics.median(memory) / MIB, 3072.0)
    yield row("reset of kind with proof / the goal of 10 s", "s", statistics.median(resets), 10.0)


if __name__ == "__main__":
    main(__doc__ or "", measure, rounds=1)
