"""Perceptual evaluation of speech quality."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kernel import AudioSpec, InputError, Metric, UsageError, hookimpl, resample
from kernel_audio_speech_metrics._paired import Paired

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Pesq"]

NARROW, WIDE = 8000, 16000
LONGEST = 20
"""Longest sound in seconds: it holds at most 50 utterances, the size of the reference code's table.

An utterance has at least 0.2 s of speech and 0.2 s of pause; the 51st is written past the table.
"""


class Pesq(Paired):
    """Estimate the mean opinion score of listeners for the quality of speech, 1.0 to 4.64.

    ITU-T P.862 with the mapping of P.862.2 in wide band (0.999 + 4 / (1 + e^(-1.3669 r + 3.8224))
    of the raw score r) and of P.862.1 in narrow band (0.999 + 4 / (1 + e^(-1.4945 r + 4.6607)),
    at most 4.55). Audio is resampled to 16 kHz, or to 8 kHz if its rate is below 16 kHz.
    """

    higher_is_better: ClassVar[bool] = True

    mode: Literal["wb", "nb"] | None = Field(
        None,
        description="wb (wide band, to 7 kHz) or nb (narrow band, to 3.4 kHz); when absent, wb "
        "from 16000 Hz on",
    )

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a torchmetrics.Metric. Raises UsageError for a rate too low for the mode."""
        from kernel_audio_speech_metrics._comparison import Comparison

        if audio.sample_rate < NARROW:
            raise UsageError(
                f"pesq is defined from {NARROW} Hz on, but the audio has {audio.sample_rate} Hz; "
                f"leave it out"
            )
        rate = WIDE if audio.sample_rate >= WIDE else NARROW
        mode = self.mode or ("wb" if rate == WIDE else "nb")
        if mode == "wb" and rate == NARROW:
            raise UsageError(
                f"pesq.mode=wb is defined from {WIDE} Hz on, but the audio has "
                f"{audio.sample_rate} Hz; set metric.pesq.mode=nb"
            )
        return Comparison(partial(_score, audio.sample_rate, rate, mode))


def _score(source: int, rate: int, mode: str, audio: Tensor, reference: Tensor) -> Tensor:
    from pesq import PesqError
    from torchmetrics.functional.audio.pesq import perceptual_evaluation_speech_quality

    seconds = audio.shape[-1] / source
    if seconds > LONGEST:
        raise InputError(
            f"the sound is {seconds:.1f} s long, and pesq's reference code is unsafe beyond "
            f"{LONGEST} s; cut it into sentences"
        )
    audio, reference = (resample(part, source, rate) for part in (audio, reference))
    try:
        return perceptual_evaluation_speech_quality(audio, reference, rate, mode)
    except PesqError as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise InputError(f"pesq cannot score it ({reason}); leave the sound out") from None


@hookimpl
def metric() -> type[Metric]:
    """Return Pesq."""
    return Pesq
