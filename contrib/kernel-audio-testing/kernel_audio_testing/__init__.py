"""The conformance kit: the promises of every component, as checks.

A plugin's whole test file is one line for each component:

    from kernel_audio_testing import conformance

    test_mine = conformance("solver.mine")

`kernel check NAME` runs the same checks from the shell. A check is a function of a Subject; its
first docstring line states the promise. A class lists in `shortfalls` the checks that it fails for
a good reason, with the reason; these are then expected to fail.
"""

from __future__ import annotations

from kernel_audio_testing._pytest import conformance
from kernel_audio_testing._run import Check, Outcome, checks_for, run_checks
from kernel_audio_testing._subject import Inapplicable, Subject, Violation

__all__ = [
    "Check",
    "Inapplicable",
    "Outcome",
    "Subject",
    "Violation",
    "checks_for",
    "conformance",
    "run_checks",
]
