"""`bandwidth`: the high frequencies that a recording lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

import attrs
from pydantic import Field

from kernel import (
    InputError,
    Item,
    LatentSpace,
    Measurement,
    Task,
    UsageError,
    hookimpl,
    resample,
)
from kernel_plugins.tasks._applied import EXACTLY
from kernel_plugins.tasks._edit import Edit, Edited, Part, Recording

if TYPE_CHECKING:
    from torch import Tensor

PASSED = 0.94
"""Share of the Nyquist frequency up to which resampling changes nothing."""


@attrs.frozen(eq=False, kw_only=True)
class Narrow(Edited):
    """A recording without frequencies above `cutoff`, in Hz."""

    cutoff: float


class Bandwidth(Edit):
    """Make the frequencies above a recording's cut-off, and keep the frequencies below.

    A recording with a lower rate than the model's is returned at the model's rate, others at their
    own. A filter without a transition keeps the frequencies below the cut-off.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = EXACTLY

    cutoff: float | None = Field(
        None, gt=0, description="highest frequency in Hz to keep; by default estimated"
    )

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def edit(self, recording: Recording) -> Edited:
        """Return the edit that keeps the frequencies below the cut-off.

        Raises UsageError for a cut-off that leaves nothing to make, and InputError when none is
        found.
        """
        cutoff = self._cutoff(recording)
        rate = max(recording.sample_rate, self.sample_rate)
        raised = resample(recording.audio, recording.sample_rate, rate)
        edit = self.edited(attrs.evolve(recording, audio=raised, sample_rate=rate), raised)
        return Narrow(**attrs.asdict(edit, recurse=False), cutoff=cutoff)

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the windows below the cut-off."""
        import torch

        from kernel_plugins.tasks._filters import LowPass
        from kernel_plugins.tasks._measure import measure

        windows = cast("Sequence[Part]", items)
        cutoffs = [cast(Narrow, window.whole).cutoff for window in windows]
        low_pass = LowPass(torch.tensor(cutoffs).view(-1, 1, 1) * (2 / self.sample_rate))
        return measure(space, low_pass, low_pass(torch.stack([window.sound for window in windows])))

    def finish(self, audio: Tensor, edit: Edited) -> Tensor:
        """Return the audio [C, L], its low frequencies as they were read."""
        import torch

        from kernel_plugins.tasks._filters import LowPass

        narrow = cast(Narrow, edit)
        assert edit.sample_rate is not None
        made = super().finish(audio, edit)
        low_pass = LowPass(torch.tensor(2 * narrow.cutoff / edit.sample_rate))
        return low_pass.project(made, edit.sound)

    def _cutoff(self, recording: Recording) -> float:
        from kernel_plugins.tasks._estimates import cutoff

        path, passed = recording.path, PASSED * recording.sample_rate / 2
        found = self.cutoff
        if found is not None and found > recording.sample_rate / 2:
            raise UsageError(
                f"{path} has no frequencies above {recording.sample_rate / 2:g} Hz, half of its"
                f" sample rate, and the cut-off is to be {found:g} Hz; lower -o task.cutoff"
            )
        if found is None:
            found = cutoff(recording.audio, recording.sample_rate)
            if found is None and recording.sample_rate >= self.sample_rate:
                raise InputError(
                    f"{path} is not cut off at any frequency; name one with -o task.cutoff, or"
                    " leave it as it is"
                )
        found = passed if found is None else min(found, passed)
        if found >= self.sample_rate / 2:
            raise UsageError(
                f"{path} has all frequencies up to {found:.0f} Hz and the model knows none above"
                f" {self.sample_rate // 2} Hz; take a model of a higher sample rate"
            )
        return found


@hookimpl
def task() -> type[Task]:
    """Offer `bandwidth`."""
    return Bandwidth
