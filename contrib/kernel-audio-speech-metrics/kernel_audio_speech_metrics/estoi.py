"""Extended short-time objective intelligibility."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from kernel import AudioSpec, InputError, Metric, UsageError, hookimpl
from kernel_audio_speech_metrics._paired import Paired

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Estoi"]

LOWEST_RATE = 8000
SHORTEST = (30 * 128 + 256) / 10000
"""Seconds in a segment of 30 frames, 256 samples every 128 at 10 kHz, and in the one at the end
that pystoi leaves out.
"""


class Estoi(Paired):
    """Intelligibility of speech, between 0 and 1, from the correlation of its spectrograms.

    Silent frames of the reference are left out. Segments of 384 ms of 15 third-octave bands are
    normalised along time, then along the bands, then correlated (Jensen and Taal 2016, "An
    algorithm for predicting the intelligibility of speech masked by modulated noise maskers").
    """

    higher_is_better: ClassVar[bool] = True

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a torchmetrics.Metric. Raises UsageError for a rate below 8 kHz."""
        from kernel_audio_speech_metrics._comparison import Comparison

        if audio.sample_rate < LOWEST_RATE:
            raise UsageError(
                f"estoi compares bands up to 4 kHz, but audio at {audio.sample_rate} Hz has none "
                f"above {audio.sample_rate / 2000:g} kHz; use it from {LOWEST_RATE} Hz on"
            )
        return Comparison(partial(_score, audio.sample_rate))


def _score(rate: int, audio: Tensor, reference: Tensor) -> Tensor:
    from torchmetrics.functional.audio.stoi import short_time_objective_intelligibility

    too_short = InputError(
        f"the reference holds less than {SHORTEST:.2f} s of speech, which estoi needs; leave the "
        f"sound out"
    )
    if audio.shape[-1] < SHORTEST * rate:
        raise too_short
    with warnings.catch_warnings(), _fixed_noise():
        warnings.filterwarnings("error", "Not enough STFT frames", RuntimeWarning)
        try:
            return short_time_objective_intelligibility(audio, reference, rate, extended=True)
        except RuntimeWarning:
            raise too_short from None


@contextmanager
def _fixed_noise() -> Iterator[None]:
    """Give pystoi the same noise each time: it adds 1e-16 from numpy's global generator."""
    import numpy as np

    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


@hookimpl
def metric() -> type[Metric]:
    """Return Estoi."""
    return Estoi
