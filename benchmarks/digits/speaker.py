"""Tell whose voice generated digits have, and whether they are right.

python benchmarks/digits/speaker.py nicolas runs/before runs/after --data ../shared/data/fsdd
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import attrs
import torch
from classifier import RATE, clip, labelled, listen, load, read
from judge import items
from measures import frechet
from torch import Tensor

RIDGE = 10.0
ACTIVE = 25.0
"""Frames count down to so many dB below the loudest of their clip."""
FRAME, HOP = 400, 80
LOWEST, HIGHEST = 60.0, 300.0
NEARLY, PERIODIC = 0.9, 0.6
"""Share of the highest peak that an earlier one needs; the peak of a voiced frame."""


def timbre(spectra: Tensor) -> Tensor:
    """Return mean and deviation of each band over the active frames: [N, B, T] -> [N, 2 B]."""
    decibel = 10 / math.log(10)
    level = decibel * torch.logsumexp(spectra / decibel, 1, keepdim=True)
    active = level > level.amax(-1, keepdim=True) - ACTIVE
    count = active.sum(-1)
    mean = (spectra * active).sum(-1) / count
    spread = ((spectra - mean[:, :, None]).square() * active).sum(-1) / count
    return torch.cat([mean, spread.sqrt()], 1).double()


@attrs.frozen(eq=False)
class Speakers:
    """Names the speaker of a timbre by ridge regression on one-hot vectors."""

    names: tuple[str, ...]
    mean: Tensor
    spread: Tensor
    weights: Tensor

    @classmethod
    def learn(cls, timbres: Tensor, names: list[str]) -> Speakers:
        """Return what has heard the timbres [N, D] of `names` [N]."""
        known = tuple(sorted(set(names)))
        targets = torch.eye(len(known)).double()[[known.index(name) for name in names]]
        mean, spread = timbres.mean(0), timbres.std(0)
        inputs = (timbres - mean) / spread
        ridge = RIDGE * torch.eye(inputs.shape[1]).double()
        weights = torch.linalg.solve(
            inputs.T @ inputs + ridge, inputs.T @ (targets - targets.mean(0))
        )
        return cls(known, mean, spread, weights)

    def scores(self, timbres: Tensor) -> Tensor:
        """Return how much each timbre [N, D] is that of each speaker, [N, speakers]."""
        return (timbres - self.mean) / self.spread @ self.weights

    def name(self, timbres: Tensor) -> list[str]:
        """Return the speaker of each timbre [N, D]."""
        return [self.names[place] for place in self.scores(timbres).argmax(1).tolist()]


def pitch(clips: Tensor) -> float:
    """Return the median fundamental frequency in hertz of the voiced frames of clips [N, RATE].

    The period of a frame is the first lag, HIGHEST to LOWEST, at a peak of the normalised
    autocorrelation that is nearly the highest.
    """
    frames = clips.unfold(1, FRAME, HOP).flatten(0, 1).double()
    energy = frames.square().sum(1)
    frames = frames[energy > energy.amax() * 10 ** (-ACTIVE / 10)]
    lags = torch.arange(round(RATE / HIGHEST), round(RATE / LOWEST) + 1)
    scores = []
    for lag in lags.tolist():
        head, tail = frames[:, lag:], frames[:, :-lag]
        scores.append((head * tail).sum(1) / (head.norm(dim=1) * tail.norm(dim=1)))
    found = torch.stack(scores, 1)
    best = found.amax(1, keepdim=True)
    falls = torch.nn.functional.pad(found[:, 1:] <= found[:, :-1], (0, 1), value=True)
    place = ((found > NEARLY * best) & falls).int().argmax(1)
    return RATE / float(lags[place[best[:, 0] > PERIODIC]].double().median())


def main() -> None:
    """Print a table with a row for the speaker's held-out recordings and for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("speaker", help="name of a speaker with recordings in test/")
    parser.add_argument("runs", type=Path, nargs="+", help="folders written by `kernel run`")
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and test/")
    options = parser.parse_args()
    ear = load()
    train, _, names = labelled(options.data / "train")
    speakers = Speakers.learn(timbre(listen(ear, train)[0]), [each.split("_")[1] for each in names])
    test, digits, names = labelled(options.data / "test")
    own = torch.tensor([each.split("_")[1] == options.speaker for each in names])
    if not own.any():
        raise SystemExit(f"test/ has no recording of {options.speaker}; name another speaker.")
    sets = {
        f"held-out recordings of {options.speaker}": (test[own], digits[own]),
        "held-out recordings of the others": (test[~own], digits[~own]),
    }
    for run in options.runs:
        files = items([run])
        clips = torch.stack([clip(read(file)) for file, _ in files])
        sets[run.name] = (clips, torch.tensor([digit for _, digit in files]))
    voice = speakers.scores(timbre(listen(ear, test[own])[0]))
    print(f"| set | right | heard as {options.speaker} | distance of voices | median pitch |")
    print("|---|---|---|---|---|")
    for name, (clips, wanted) in sets.items():
        spectra, _, chances = listen(ear, clips)
        found = timbre(spectra)
        right = int((chances.argmax(1) == wanted).sum())
        heard = speakers.name(found).count(options.speaker)
        away = frechet(speakers.scores(found), voice)
        count = len(clips)
        print(
            f"| {name} | {right}/{count} | {heard}/{count} | {away:.2f} | {pitch(clips):.0f} Hz |"
        )


if __name__ == "__main__":
    main()
