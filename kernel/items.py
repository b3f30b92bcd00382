"""Items of data, windows to make, and requests."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import attrs

from kernel.values import Sound

if TYPE_CHECKING:
    from torch import Tensor


@attrs.frozen(eq=False)
class Item:
    """One sound: of a data set, or to be made. `samples` is its length at the model's rate.

    audio: [C, samples], the clean sound, None where it is to be made. valid: how many of its first
    samples are not padding, None for all. vector: [V]. sequence: [L, W], any number of rows.
    aligned, origin: audio [C, samples], brought into the latent space with the clean sound, so that
    all three have the same scale. `Task.collate` makes the condition of a batch from its items.
    skipped: sentences on unreadable items that this one stands in for. name: its file, in messages.
    """

    samples: int
    audio: Tensor | None = None
    valid: int | None = None
    vector: Tensor | None = None
    sequence: Tensor | None = None
    aligned: Tensor | None = None
    origin: Tensor | None = None
    skipped: tuple[str, ...] = ()
    name: str | None = None


@attrs.frozen(eq=False)
class Window(Item):
    """An item to be made, and how.

    start: sigma / sigma_data where its sampling starts; None for the start of the schedule. stream:
    the noise that it draws, by default that of its place among all windows of its request; windows
    of a request with the same number share theirs. joint: windows that are yielded together with
    the same number are sampled in one batch, where they are neighbours. model: the name or folder
    of the model that makes it; None for the run's own.
    """

    start: float | None = None
    stream: int | None = None
    joint: int | None = None
    model: str | None = None


@attrs.frozen(eq=False)
class Request:
    """One thing to make: a `name` for the file of its sound, and the window that it is made in.

    text: how a person would call it, its label or its words. reference: audio [C, L] at the model's
    rate that the sound should equal, when a task offers `reference`. given: the recording that the
    sound is made from, [C, L] at `sample_rate`, which is shown beside it. spans: (start, stop) in
    seconds of the parts that are made anew, which are marked in the pictures. The sound is written
    at `sample_rate`, the model's own when it is None, and as `subtype`, a name of libsndfile's.

    A task may subclass it to carry what its `make` needs.
    """

    name: str
    window: Window
    text: str | None = None
    reference: Tensor | None = None
    given: Tensor | None = None
    spans: tuple[tuple[float, float], ...] = ()
    sample_rate: int | None = None
    subtype: str = "PCM_16"

    def finished(self, audio: Tensor, sample_rate: int, notes: tuple[str, ...] = ()) -> Sound:
        """Return audio [C, L] as the sound of the request, with sentences for the user.

        sample_rate: the model's, which is that of the audio where the request names none.
        """
        told = (self.sample_rate or sample_rate, self.text, self.given, self.reference, self.spans)
        return Sound(self.name, audio, *told, subtype=self.subtype, notes=notes)


Making = Generator[list[Window], list["Tensor"], list[Sound]]
"""The coroutine that makes a request: yields windows, is sent their audio, returns the sounds."""
