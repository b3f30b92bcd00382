"""`dereverb`: recordings without the room, whose impulse response is known."""

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
"""The share of the response's energy that is left where it is taken to be over."""


@attrs.frozen(eq=False, kw_only=True)
class Reverberant(Edited):
    """A recording in a room. response: [N] at the model's rate, of unit energy."""

    response: Tensor


class Dereverb(Edit):
    """Make the sound that, played in a room, becomes the recording.

    The room is known by its impulse response, of which the loudest sample is taken for the direct
    sound. Its loudness is that of the recording. In a window that starts within the sound, what
    still rings of the sound before it is not measured. The response is over where less than a
    thousandth of its energy is left.

    `moments` weighs what the room has swallowed against what the network is sure of. `projection`
    is of the kind of Wiener's filter: exact to a thousandth in power on what the room lets pass, so
    that it also takes noise for sound. `dps` follows a response only roughly.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    room: Path | None = Field(None, description="audio file with the room's impulse response")

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `measurement`."""
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
        """Return that the windows, played in the room, are as given."""
        import torch

        from kernel_plugins.tasks._filters import RoomResponse
        from kernel_plugins.tasks._measure import measure

        windows = cast("Sequence[Part]", items)
        response = cast(Reverberant, windows[0].whole).response
        # Scaled so that no frequency becomes louder, which is the safe side of what guidances
        # assume of an operator: that it passes all of a sound.
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
                "the task needs to know the room; name a file with its impulse response with"
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
    """Return [1, samples], true where all that is heard comes from this window alone."""
    start = response if window.cut.start else 0
    return ((place >= start) & (place < window.whole.samples - window.cut.start))[None]


@hookimpl
def task() -> type[Task]:
    """Offer `dereverb`."""
    return Dereverb
