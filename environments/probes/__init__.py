"""Probes: requests with the decision expected of a secured platform, used by the learner's self-check and by the judge."""

from __future__ import annotations

from environments.probes.engine import Prober
from environments.probes.model import Probe, load_probes
from environments.probes.observation import Observation

__all__ = ["Observation", "Probe", "Prober", "load_probes"]
