"""What a learner's notebook imports: `lab = open_lab("zero-trust")`."""

from __future__ import annotations

from environments.lab.api import Lab, open_lab
from environments.lab.cloud import Cloud

__all__ = ["Cloud", "Lab", "open_lab"]
