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
"""Length of the frames in seconds, of which the quietest are found."""

FAINTEST = 1e-3
"""Least power of the noise at every frequency, as a share of its mean power."""

LOUDEST = 0.9
"""Largest share of a recording's power that noise may have."""


@attrs.frozen(eq=False, kw_only=True)
class Noisy(Edited):
    """A recording with noise, whose power at the model's rate and level is the mean of `spectrum`.

    spectrum: [F], from 0 to the model's Nyquist frequency.
    """

    spectrum: Tensor


class Denoise(Edit):
    """Make the sound of a recording without its noise.

    The recording is the sound plus Gaussian noise: white unless `coloured` is set, at the level of
    the quietest tenth of the recording unless `noise_db` is set. The level of the recording without
    the power of its noise is that of the model's training.

    The measurement knows the noise. `moments` weighs the measurement against the network's
    certainty, and so does `dps` with -o guidance.dps.normalization=gaussian.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = ABOUT

    noise_db: float | None = Field(
        None, ge=-120, le=0, description="level of the noise in dBFS (rms); by default estimated"
    )
    coloured: bool = Field(False, description="estimate the spectrum of the noise from the file")

    @property
    def offers(self) -> frozenset[str]:
        """Return `measurement`."""
        return frozenset({"measurement"})

    def edit(self, recording: Recording) -> Edited:
        """Return the edit of the whole recording.

        Raises InputError when no noise is found, or only noise.
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
        # The level of a recording is that of the sound and the noise together.
        louder = (1 - share) ** -0.5 if self.normalize == "rms" else 1.0
        gain = edit.gain * louder
        return Noisy(
            **{**attrs.asdict(edit, recurse=False), "gain": gain, "lanes": edit.lanes * louder},
            spectrum=spectrum * gain**2,
        )

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement | None:
        """Return the measurement of the noisy windows, filtered to make the noise white."""
        import torch

        from kernel_plugins.tasks._filters import Whitened
        from kernel_plugins.tasks._measure import measure

        windows = cast("Sequence[Part]", items)
        spectrum = torch.stack([cast(Noisy, window.whole).spectrum for window in windows])
        # No frequency is amplified: guidances assume that an operator passes all of a sound, and
        # passing less is the safe side.
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
            # Resampling to a lower rate keeps this share of white noise.
            power = 10 ** (self.noise_db / 10) * min(1.0, self.sample_rate / sample_rate)
            spectrum = spectrum * (power / spectrum.mean())
        return spectrum.clamp_min(FAINTEST * float(spectrum.mean()))


@hookimpl
def task() -> type[Task]:
    """Offer `denoise`."""
    return Denoise
