"""`dereverb`: recordings without the room, from its impulse response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, cast

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
    read_audio,
)
from kernel_plugins.tasks._applied import ABOUT
from kernel_plugins.tasks._edit import Edit, Edited, Part, Recording

if TYPE_CHECKING:
    from torch import Tensor

FAINT = 1e-3
"""Share of a response's energy that may remain after its end."""


@attrs.frozen(eq=False, kw_only=True)
class Reverberant(Edited):
    """A recording in a room. response: [N] at the model's rate, of unit energy."""

    response: Tensor


class Dereverb(Edit):
    """Make the sound that becomes the recording when a room plays it.

    The room is given by its impulse response; the loudest sample of the response is the direct
    sound. The result has the loudness of the recording. The start of a window within the sound is
    not measured while the sound before it still rings. The response ends where less than a
    thousandth of its energy remains.

    `moments` weighs frequencies that the room mutes against the network's certainty. `projection`
    is like Wiener's filter: exact to a thousandth in power at frequencies that the room passes, so
    it treats noise as sound. `dps` follows a response only roughly.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    room: Path | None = Field(None, description="audio file with the room's impulse response")

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def portable(self) -> Self:
        """Return the task without the path of the response."""
        return self.model_copy(update={"room": None})

    def edit(self, recording: Recording) -> Edited:
        """Return the edit of the whole recording.

        Raises UsageError when no room is named, and InputError for a response that is silent or
        longer than the recording or a window.
        """
        response = self._response()
        seconds = len(response) / self.sample_rate
        if seconds > recording.seconds:
            raise InputError(
                f"the response {self.room} rings for {seconds:.2f} s and {recording.path} is over"
                f" after {recording.seconds:.2f} s; cut the response or give a longer recording"
            )
        edit = self.edited(recording, recording.audio)
        if len(edit.cuts) > 1 and 2 * len(response) > self.samples:
            raise InputError(
                f"the response {self.room} rings for {seconds:.2f} s, too long for windows of the"
                f" model's {self.seconds:g} s; cut it to half of that or give a shorter recording"
            )
        return Reverberant(**attrs.asdict(edit, recurse=False), response=response)

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the windows in the room."""
        import torch

        from kernel_plugins.tasks._filters import RoomResponse
        from kernel_plugins.tasks._measure import measure

        windows = cast("Sequence[Part]", items)
        response = cast(Reverberant, windows[0].whole).response
        # No frequency is amplified: guidances assume that an operator passes all of a sound, and
        # passing less is the safe side.
        peak = torch.fft.rfft(response, 4 * len(response)).abs().max()
        place = torch.arange(self.samples)
        keep = torch.stack([_explained(place, window, len(response)) for window in windows])
        sound = torch.stack([window.sound for window in windows])
        room = RoomResponse((response / peak)[None, None], int(response.abs().argmax()), keep)
        return measure(space, room, sound * keep / peak, "l2")

    def _response(self) -> Tensor:
        """Return the response [N] until it is faint, with unit energy."""
        if self.room is None:
            raise UsageError(
                "the task needs a room; name a file with its impulse response with"
                " -o task.room=FILE"
            )
        response = read_audio(self.room.expanduser(), self.sample_rate)[0][0]
        energy = response.square()
        if not energy.any():
            raise InputError(f"the response {self.room} is silent; give one of a room")
        left = energy.flip(0).cumsum(0).flip(0)
        response = response[left > FAINT * left[0]]
        return response / response.square().sum().sqrt()


def _explained(place: Tensor, window: Part, response: int) -> Tensor:
    """Return [1, samples], true where the recording depends only on this window."""
    start = response if window.cut.start else 0
    return ((place >= start) & (place < window.whole.samples - window.cut.start))[None]


@hookimpl
def task() -> type[Task]:
    """Offer `dereverb`."""
    return Dereverb
