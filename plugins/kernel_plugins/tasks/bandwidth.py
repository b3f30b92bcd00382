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
"""The share of the Nyquist frequency up to which resampling leaves everything as it is."""


@attrs.frozen(eq=False, kw_only=True)
class Narrow(Edited):
    """A recording that holds nothing above `cutoff`, in Hz."""

    cutoff: float


class Bandwidth(Edit):
    """Make what belongs above the highest frequency of a recording, and keep what is below.

    A recording with a lower rate than the model's is returned at that of the model, others at their
    own. What lies below the cut-off is kept, by a filter without a transition.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = EXACTLY

    cutoff: float | None = Field(
        None, gt=0, description="highest frequency in Hz that is kept; by default that is found"
    )

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `measurement`."""
        return frozenset({"measurement"})

    def edit(self, recording: Recording) -> Edited:
        """Return the edit that keeps what is below the cut-off.

        Raises UsageError for a cut-off that leaves nothing to be made, and InputError where none is
        found.
        """
        cutoff = self._cutoff(recording)
        rate = max(recording.sample_rate, self.sample_rate)
        raised = resample(recording.audio, recording.sample_rate, rate)
        edit = self.edited(attrs.evolve(recording, audio=raised, sample_rate=rate), raised)
        return Narrow(**attrs.asdict(edit, recurse=False), cutoff=cutoff)

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return that the windows below the cut-off are as given."""
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
