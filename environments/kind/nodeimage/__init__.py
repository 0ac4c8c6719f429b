"""The image of a cluster's node: the stock one where it can be had, else one of Debian packages and the toolchain's programs.

`ensure` is all that others need. What the image is made of lies in `files/`; `labnet`, `crictl` and `pause` are our own
small programs where no module is to be had (`toolchain/modules/node`).
"""

from __future__ import annotations

from environments.kind.nodeimage.sources import ensure

__all__ = ["ensure"]
