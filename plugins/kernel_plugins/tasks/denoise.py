"""`denoise`: recordings without the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

import attrs
from pydantic import Field

from kernel import InputError, Item, LatentSpace, Measurement, Task, hookimpl, resample
from kernel_plugins.tasks._applied import ABOUT
from kernel_plugins.tasks._edit import Edit, Edited, Part, Recording

if TYPE_CHECKING:
    from torch import Tensor

FRAME = 0.032
"""Seconds of the frames that the quietest are found among."""

FAINTEST = 1e-3
"""The share of the noise's mean power that it has at every frequency at least."""

LOUDEST = 0.9
"""The share of a recording's power that noise may have."""


@attrs.frozen(eq=False, kw_only=True)
class Noisy(Edited):
    """A recording with noise, whose power at the model's rate and level is the mean of `spectrum`.

    spectrum: [F], from 0 to the model's Nyquist frequency.
    """

    spectrum: Tensor


class Denoise(Edit):
    """Make the sound that is a recording without its noise.

    The recording is the sound and Gaussian noise, white unless it is said to be `coloured`, as loud
    as in the quietest tenth of the recording unless `noise_db` says how loud. The level of the
    recording without the power of its noise is that of the model's training.

    The measurement knows the noise; `moments` weighs it against what the network is sure of, and so
    does `dps` with -o guidance.dps.normalization=gaussian.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    noise_db: float | None = Field(
        None, ge=-120, le=0, description="level of the noise in dBFS (rms); by default it is found"
    )
    coloured: bool = Field(False, description="whether the noise has a spectrum, found in the file")

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `measurement`."""
        return frozenset({"measurement"})

    def edit(self, recording: Recording) -> Edited:
        """Return the edit of the whole recording.

        Raises InputError where no noise is found, or nothing but noise.
        """
        sound = resample(recording.audio, recording.sample_rate, self.sample_rate)
        spectrum = self._spectrum(sound, recording.sample_rate)
        share = float(spectrum.mean() / sound.square().mean())
        if share > LOUDEST:
            raise InputError(
                f"the noise in {recording.path} is as loud as all of it, so that nothing would be"
                " left; set -o task.noise_db to the level of the noise alone"
            )
        edit = self.edited(recording, recording.audio)
        # The level of a recording is that of the sound and of the noise together.
        louder = (1 - share) ** -0.5 if self.normalize == "rms" else 1.0
        gain = edit.gain * louder
        return Noisy(
            **{**attrs.asdict(edit, recurse=False), "gain": gain, "lanes": edit.lanes * louder},
            spectrum=spectrum * gain**2,
        )

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return that the windows, with noise, are as given; both are filtered to make it white."""
        import torch

        from kernel_plugins.tasks._filters import Whitened
        from kernel_plugins.tasks._measure import measure

        windows = cast("Sequence[Part]", items)
        spectrum = torch.stack([cast(Noisy, window.whole).spectrum for window in windows])
        # No frequency is made louder, so that what guidances assume of the operator is on the safe
        # side: that it passes all of a sound.
        noise = spectrum.amin(1).sqrt()
        whitened = Whitened(noise[:, None, None] * spectrum[:, None].rsqrt())
        sound = torch.stack([window.sound for window in windows])
        return measure(space, whitened, whitened(sound), "l2", noise)

    def _spectrum(self, sound: Tensor, sample_rate: int) -> Tensor:
        """Return the power of the noise in `sound` [C, L], which had another rate before: [F]."""
        from kernel_plugins.tasks._estimates import noise_spectrum

        spectrum = noise_spectrum(sound, 2 ** round(math.log2(FRAME * self.sample_rate)))
        if not self.coloured:
            spectrum = spectrum.mean().expand_as(spectrum)
        if self.noise_db is not None:
            # Resampling to a lower rate leaves that share of white noise.
            power = 10 ** (self.noise_db / 10) * min(1.0, self.sample_rate / sample_rate)
            spectrum = spectrum * (power / spectrum.mean())
        return spectrum.clamp_min(FAINTEST * float(spectrum.mean()))


@hookimpl
def task() -> type[Task]:
    """Offer `denoise`."""
    return Denoise
