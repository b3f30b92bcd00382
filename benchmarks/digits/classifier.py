"""The judge's ear: a small network that names spoken digits, trained on real recordings only.

    python benchmarks/digits/classifier.py --data ../shared/data/fsdd

It shares no code with what it judges: its features are its own, and it never hears generated audio.
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import pairwise
from pathlib import Path

import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchaudio.functional import melscale_fbanks, resample

RATE = 8000
BANDS = 64
WINDOW, HOP, BINS = 256, 80, 512
FLOOR = 1e-3
WIDTH = 64
WEIGHTS = Path(__file__).with_name("classifier.safetensors")


def read(path: Path) -> Tensor:
    """Return the mono audio of a file at 8 kHz, [L]; exits with a sentence when it cannot."""
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise SystemExit(f"{path} cannot be read as audio ({error}); make it again.") from error
    wave = torch.from_numpy(audio).mean(1)
    if not wave.isfinite().all():
        raise SystemExit(f"{path} holds samples that are not finite; make it again.")
    return wave if rate == RATE else resample(wave, rate, RATE)


def clip(wave: Tensor) -> Tensor:
    """Return the second around the centre of energy, zero-padded, at RMS 1: [L] -> [RATE].

    Placement and level are thereby the same for a tightly cut recording and for a padded sound.
    Silence stays silence.
    """
    energy = wave.double().square()
    if energy.sum() == 0:
        return wave.new_zeros(RATE)
    time_axis = torch.arange(len(wave), dtype=torch.float64)
    start = round(float((energy * time_axis).sum() / energy.sum())) - RATE // 2
    piece = wave[max(start, 0) : max(start + RATE, 0)]
    left = max(-start, 0)
    piece = F.pad(piece, (left, RATE - left - len(piece)))
    return piece / piece.square().mean().sqrt()


def labelled(folder: Path) -> tuple[Tensor, Tensor, list[str]]:
    """Return the clips [N, RATE], digits [N] and names of `{digit}_{speaker}_{index}.wav` files."""
    paths = sorted(folder.glob("[0-9]_*_*.wav"))
    if not paths:
        raise SystemExit(f"{folder} holds no files named DIGIT_SPEAKER_INDEX.wav; check --data.")
    clips = torch.stack([clip(read(path)) for path in paths])
    return clips, torch.tensor([int(path.name[0]) for path in paths]), [p.stem for p in paths]


class Ear(nn.Module):
    """A convolutional network over log-mel spectrograms; its features are [B, WIDTH]."""

    def __init__(self) -> None:
        super().__init__()
        bank = melscale_fbanks(BINS // 2 + 1, 40.0, RATE / 2, BANDS, RATE)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        sizes = (1, 16, 32, 64, 96)
        layers: list[nn.Module] = [nn.BatchNorm2d(1)]
        for inward, outward in pairwise(sizes):
            convolution = nn.Conv2d(inward, outward, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(outward), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers)
        self.neck = nn.Linear(2 * sizes[-1] * (BANDS // 16), WIDTH)
        self.head = nn.Linear(WIDTH, 10)

    def spectrogram(self, clips: Tensor) -> Tensor:
        """Return log-mel power in dB, floored at -30 dB of the mean power: [B, BANDS, T]."""
        spectrum = torch.stft(
            clips, BINS, HOP, WINDOW, self.get_buffer("window"), return_complex=True
        )
        power = spectrum.abs().square() / self.get_buffer("window").square().sum()
        return 10 * torch.log10(self.get_buffer("bank").T @ power + FLOOR)

    def features(self, spectrogram: Tensor) -> Tensor:
        """Return what the last linear layer sees: [B, BANDS, T] -> [B, WIDTH]."""
        maps = self.body(spectrogram[:, None])
        pooled = torch.cat([maps.mean(-1), maps.amax(-1)], 1)
        return F.relu(self.neck(pooled.flatten(1)))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return the logits of the ten digits: [B, BANDS, T] -> [B, 10]."""
        logits: Tensor = self.head(F.dropout(self.features(spectrogram), 0.3, self.training))
        return logits


def load(path: Path = WEIGHTS) -> Ear:
    """Return the trained network, ready to judge."""
    ear = Ear()
    ear.load_state_dict(load_file(path))
    return ear.eval()


@torch.inference_mode()
def listen(ear: Ear, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return spectrograms [N, BANDS, T], features [N, WIDTH] and probabilities [N, 10], float64."""
    parts = []
    for batch in torch.split(clips, 100):
        spectrogram = ear.spectrogram(batch)
        features = ear.features(spectrogram)
        parts.append((spectrogram, features.double(), ear.head(features).double().softmax(-1)))
    spectrograms, features, chances = (torch.cat(part) for part in zip(*parts, strict=True))
    return spectrograms, features, chances


def _uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def disturb(clips: Tensor, generator: torch.Generator) -> Tensor:
    """Return clips played 0.85 to 1.18 times as long, moved, in coloured noise, louder or softer.

    The noise has a power slope of 0 to -6 dB an octave and lies 5 to 45 dB below the clip.
    """
    count = len(clips)
    spectra = torch.fft.rfft(clips)
    lengths = (_uniform(0.85, 1.18, (count,), generator) * 100).round().int() * (RATE // 100)
    moves = _uniform(-1200, 1200, (count,), generator).round().int()
    moved = torch.zeros_like(clips)
    for row, spectrum, length, move in zip(
        moved, spectra, lengths.tolist(), moves.tolist(), strict=True
    ):
        stretched = torch.fft.irfft(spectrum, length)
        start = (length - RATE) // 2 + move
        piece = stretched[max(start, 0) : start + RATE]
        left = max(-start, 0)
        row[left : left + len(piece)] = piece[: RATE - left]
    moved /= moved.square().mean(1, keepdim=True).sqrt()
    frequency = torch.arange(1, RATE // 2 + 2) / (RATE // 2)
    slope = frequency ** -_uniform(0, 1, (count, 1), generator)
    noise = torch.fft.irfft(
        torch.fft.rfft(torch.randn(clips.shape, generator=generator)) * slope, RATE
    )
    noise /= noise.square().mean(1, keepdim=True).sqrt()
    level = 10 ** (-_uniform(5, 45, (count, 1), generator) / 20)
    gain = 10 ** (_uniform(-4, 4, (count, 1), generator) / 20)
    disturbed: Tensor = (moved + level * noise) * gain
    return disturbed


def mask(spectrogram: Tensor, generator: torch.Generator) -> Tensor:
    """Return the spectrograms with up to 8 bands and up to 12 frames at their mean (SpecAugment).

    Park et al. 2019, one mask along each axis.
    """
    mean = spectrogram.mean((1, 2), keepdim=True)
    for axis, widest in ((1, 8), (2, 12)):
        size = spectrogram.shape[axis]
        width = _uniform(0, widest + 1, (len(spectrogram), 1), generator).floor()
        start = (_uniform(0, 1, width.shape, generator) * (size - width)).floor()
        place = torch.arange(size)
        hidden = (place >= start) & (place < start + width)
        hidden = hidden[:, :, None] if axis == 1 else hidden[:, None, :]
        spectrogram = torch.where(hidden, mean, spectrogram)
    return spectrogram


def train(clips: Tensor, digits: Tensor, epochs: int, seed: int) -> Ear:
    """Return a network trained on `clips` [N, RATE] of `digits` [N], without early stopping."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    ear = Ear()
    optimiser = torch.optim.AdamW(ear.parameters(), weight_decay=0.02)
    batch = 50
    rate = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 4e-3, total_steps=epochs * math.ceil(len(clips) / batch), pct_start=0.15
    )
    started = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(len(clips), generator=generator)
        for rows in torch.split(order, batch):
            spectrogram = mask(ear.spectrogram(disturb(clips[rows], generator)), generator)
            loss = F.cross_entropy(ear(spectrogram), digits[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            rate.step()
            total += float(loss.detach()) * len(rows)
        seconds = time.monotonic() - started
        print(
            f"epoch {epoch + 1}/{epochs}  loss {total / len(clips):.4f}  {seconds:.0f} s",
            flush=True,
        )
    return ear.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the weights go")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    clips, digits, _ = labelled(options.data / "train")
    ear = train(clips, digits, options.epochs, options.seed)
    save_file(ear.state_dict(), options.out)
    clips, digits, names = labelled(options.data / "test")
    heard = listen(ear, clips)[2].argmax(1)
    wrong = [f"{n} heard as {h}" for n, d, h in zip(names, digits, heard, strict=True) if d != h]
    print(f"test accuracy {1 - len(wrong) / len(names):.4f} of {len(names)}", *wrong, sep="\n")


if __name__ == "__main__":
    main()
