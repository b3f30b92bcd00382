"""The network of `digits`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from kernel import resample

RATE = 8000
BANDS = 64
WINDOW, HOP, BINS = 256, 80, 512
FLOOR = 1e-3
FEATURES = 64
WEIGHTS = Path(__file__).with_name("digits.safetensors")


class DigitsNetwork(nn.Module):
    """The logits of the ten digits, (audio [B, C, L], sample_rate) -> [B, 10]."""

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
        self.neck = nn.Linear(2 * sizes[-1] * (BANDS // 16), FEATURES)
        self.head = nn.Linear(FEATURES, 10)
        self.load_state_dict(load_file(WEIGHTS))
        self.eval()

    def forward(self, audio: Tensor, sample_rate: int) -> Tensor:
        """Return [B, 10]. audio: [B, C, L]."""
        clips = centred(resample(audio.mean(1), sample_rate, RATE))
        window = self.get_buffer("window")
        spectrum = torch.stft(clips, BINS, HOP, WINDOW, window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        bands = self.get_buffer("bank").T @ (power / window.square().sum())
        maps = self.body(10 * torch.log10(bands + FLOOR)[:, None])
        pooled = torch.cat([maps.mean(-1), maps.amax(-1)], 1)
        logits: Tensor = self.head(self.neck(pooled.flatten(1)).relu())
        return logits


def centred(audio: Tensor) -> Tensor:
    """Return the second around the centre of energy, zero-padded, at RMS 1: [B, L] -> [B, RATE].

    No gradient goes through the choice of the second. Silence stays silence.
    """
    energy = audio.detach().double().square()
    place = torch.arange(audio.shape[1], device=audio.device, dtype=torch.float64)
    total = energy.sum(1).clamp_min(torch.finfo(torch.float64).tiny)
    start = ((energy * place).sum(1) / total).round().long() - RATE // 2
    index = start[:, None] + torch.arange(RATE, device=audio.device)
    inside = (index >= 0) & (index < audio.shape[1])
    clips = audio.gather(1, index.clamp(0, audio.shape[1] - 1)) * inside
    return clips / (clips.square().mean(1, keepdim=True) + 1e-12).sqrt()
