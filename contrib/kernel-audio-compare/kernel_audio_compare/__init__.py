"""A grid of runs: made, resumed and shared among processes, then measured beside each other.

It uses the kernel's tooling API alone. `kernel compare` is its command.
"""

from __future__ import annotations

from kernel_audio_compare.api import Comparison, compare

__all__ = ["Comparison", "compare"]
