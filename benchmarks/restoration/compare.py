"""Compare restorations by the kernel's tasks with the classical methods, on held-out recordings.

    python benchmarks/restoration/compare.py --recordings ../shared/data/fsdd/test \
        --noise ../shared/data/noise/esc10/valid --work FOLDER

Every restored recording is kept in FOLDER, as CASE/METHOD/NAME-HASH.wav, and not made again from
the same recording with the same model and options: an interrupted comparison goes on where it was.
Whoever changes the code of a method removes its folder. Scores are computed anew each time.

Writes a part of docs/restoration.md and its picture when it has compared all cases; with
`--classical` it needs no model and writes no page.

Needs scipy and kernel-audio-speech-metrics.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path

import attrs
import band
import clipping
import damages
import denoising
import gaps
import numpy as np
import soundfile
from damages import Damaged
from frames import Array
from priors import Prior, Way
from rich.console import Console
from scoring import SCORES, Judge, summary
from sheet import draw

from kernel import KernelError, read_audio
from kernel.files import write_atomic

sys.path.append(str(Path(__file__).resolve().parent.parent / "solvers"))
from paths import renew, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "restoration.md"
RATE = 8000
CUTOFF = 2000.0
SNR = 5.0
PEAK = 0.5
NOTHING = "nothing"
FRAME = 256

Summary = Mapping[str, tuple[float, float]]


@attrs.frozen(eq=False)
class Item:
    """A recording that was held out, [L], its noise [N], and the seed of all that is random."""

    name: str
    clean: Array
    noise: Array
    index: int
    seed: int

    @property
    def chance(self) -> np.random.Generator:
        """Return a generator that is the same in every case."""
        return np.random.default_rng(self.seed)


@attrs.frozen
class Case:
    """A kind of damage, and the ways to repair it."""

    title: str
    damage: Callable[[Item], Damaged]
    classical: Mapping[str, Callable[[Damaged], Array]]
    ours: Mapping[str, Way]


def clip_case(target: float) -> Case:
    return Case(
        f"Clipped to an SDR of {target:g} dB",
        lambda item: damages.clipped(item.clean, target),
        {
            "cubic spline": lambda given: clipping.spline(given.given, given.level),
            "linear prediction, consistent": lambda given: clipping.predicted(
                given.given, given.level, 2 * FRAME, order=16, iterations=3
            ),
            "sparse frames (A-SPADE)": lambda given: clipping.sparse(
                given.given, given.level, 4 * FRAME, steps=1000
            ),
        },
        {"declip": Way(("declip",), told=lambda given, rate: {"threshold": given.level})},
    )


CASES = {
    "gaps": Case(
        f"Gaps of {1000 * damages.GAP:g} ms",
        lambda item: damages.with_gaps(item.clean, RATE, item.chance),
        {
            "linear prediction from both sides": lambda given: gaps.extrapolated(
                given.given, given.spans, order=128, context=480
            ),
            "autoregressive interpolation (Janssen)": lambda given: gaps.interpolated(
                given.given, given.spans, order=256, context=480, iterations=1
            ),
        },
        {
            "infill": Way(
                ("infill",), told=lambda given, rate: {"span": damages.spoken(given.spans, rate)}
            )
        },
    ),
    "clipping-3": clip_case(3.0),
    "clipping-7": clip_case(7.0),
    "bandwidth": Case(
        f"Nothing above {CUTOFF:g} Hz",
        lambda item: damages.low_passed(item.clean, RATE, CUTOFF),
        {
            "mirrored spectrum": lambda given: band.mirrored(
                given.given, RATE, CUTOFF, FRAME, drop=9.0
            )
        },
        {"bandwidth": Way(("bandwidth",), {"task": {"cutoff": CUTOFF}})},
    ),
    "noise": Case(
        f"Noise at an SNR of {SNR:g} dB",
        lambda item: damages.with_noise(item.clean, item.noise, RATE, SNR, item.chance.random()),
        {
            "spectral subtraction": lambda given: denoising.subtracted(given.given, FRAME),
            "Wiener filter, decision-directed": lambda given: denoising.wiener(given.given, FRAME),
        },
        {
            "denoise": Way(("denoise",)),
        },
    ),
}


def items(recordings: Path, noise: Path, count: int, seed: int) -> list[Item]:
    """Return `count` recordings, evenly spread over those of a folder, all with the same peak.

    Noises take turns.
    """
    files, noises = (
        sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".ogg"))
        for folder in (recordings, noise)
    )
    if count > len(files) or not noises:
        raise SystemExit(
            f"{recordings} has {len(files)} recordings and {noise} {len(noises)} noises, too few "
            f"for {count} items; lower --items or name other folders"
        )
    chosen = [files[index * len(files) // count] for index in range(count)]
    beside = [_read(path) for path in noises]
    return [
        Item(
            path.stem, sound * PEAK / np.abs(sound).max(), beside[index % len(beside)], index, seed
        )
        for index, path in enumerate(chosen)
        for sound in [_read(path)]
    ]


class Comparison:
    """The cases that are compared, in a folder that holds every sound that was made."""

    def __init__(
        self, found: Sequence[Item], folder: Path, prior: Prior | None, console: Console
    ) -> None:
        self._items = found
        self._folder = folder
        self._prior = prior
        self._console = console
        self._judge = Judge(RATE)

    def sounds(self, name: str) -> tuple[list[Damaged], dict[str, list[Array]]]:
        """Return the damaged recordings of a case, and by method what it makes of each, [L].

        Those of a model come twice where it makes several: the first sample, and their mean.
        """
        case = CASES[name]
        damaged = [case.damage(item) for item in self._items]
        made = {NOTHING: [each.given for each in damaged]}
        for method, repair in case.classical.items():
            kept = [
                self._kept(name, method, item, given, "", partial(repair, given))
                for item, given in zip(self._items, damaged, strict=True)
            ]
            made[method] = [sound[0] for sound in kept]
        for method, way in case.ours.items() if self._prior else ():
            kept = [
                self._sampled(name, method, way, item, given)
                for item, given in zip(self._items, damaged, strict=True)
            ]
            made[f"`{method}`"] = [samples[0] for samples in kept]
            if (count := len(kept[0])) > 1:
                made[f"`{method}`, mean of {count}"] = [samples.mean(0) for samples in kept]
        return damaged, {
            method: [sound[: len(each.clean)] for sound, each in zip(sounds, damaged, strict=True)]
            for method, sounds in made.items()
        }

    def scores(
        self, damaged: Sequence[Damaged], sounds: Mapping[str, Sequence[Array]]
    ) -> dict[str, list[dict[str, float]]]:
        """Return the scores of every sound by method."""
        return {
            method: [
                self._judge.scores(sound, each) for sound, each in zip(all_, damaged, strict=True)
            ]
            for method, all_ in sounds.items()
        }

    def _sampled(self, case: str, method: str, way: Way, item: Item, given: Damaged) -> Array:
        prior = self._prior
        assert prior is not None
        told = way.told(given, RATE)
        path = self._folder / case / "given" / f"{item.name}.wav"

        def restore() -> Array:
            _write(path, given.given)
            return prior.restore(way, told, path, item.seed)

        return self._kept(case, method, item, given, prior.key(way, told, item.seed), restore)

    def _kept(
        self,
        case: str,
        method: str,
        item: Item,
        given: Damaged,
        facts: str,
        make: Callable[[], Array],
    ) -> Array:
        """Return what a method makes of a recording, [samples, L], made if it is not there.

        Its file is named after the recording, what is given of it, and the facts of the method.
        """
        digest = blake2b(given.given.tobytes() + facts.encode(), digest_size=4).hexdigest()
        path = self._folder / case / method / f"{item.name}-{digest}.wav"
        if not path.is_file():
            _write(path, make())
            done = f"{case}: {method}: {item.name} ({item.index + 1} of {len(self._items)})"
            self._console.print(done, highlight=False)
        samples: Array = soundfile.read(path, always_2d=True)[0].T
        return samples


def rows(title: str, scores: Mapping[str, Summary]) -> str:
    """Return the table of a case, the best of each score in bold."""
    names = [name for name in SCORES if name in next(iter(scores.values()))]
    best = {
        name: max(scores, key=lambda method, name=name: SCORES[name][1] * scores[method][name][0])
        for name in names
    }
    cells = []
    for method, found in scores.items():
        texts = [f"{found[name][0]:.2f} ± {found[name][1]:.2f}" for name in names]
        bold = [
            f"**{text}**" if best[name] == method else text
            for name, text in zip(names, texts, strict=True)
        ]
        cells.append([method, *bold])
    return f"### {title}\n\n" + table(["restored by", *(SCORES[name][0] for name in names)], cells)


def median(scores: Sequence[Mapping[str, float]]) -> int:
    """Return the item that has the median mel distance."""
    return sorted(range(len(scores)), key=lambda index: scores[index]["mel"])[len(scores) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=Path, required=True, help="folder of held-out speech")
    parser.add_argument("--noise", type=Path, required=True, help="folder of held-out noise")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is restored")
    parser.add_argument("--model", default="speech", help="the prior: a pack or a folder")
    parser.add_argument("--classical", action="store_true", help="leave the model out")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--samples", type=int, default=4, help="of the model for each recording")
    parser.add_argument("--steps", type=int, help="solver steps; the model's own if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores here too")
    chosen = parser.parse_args()
    console = Console()
    try:
        compare(chosen, console)
    except KernelError as error:
        raise SystemExit(f"error: {error}") from None


def compare(chosen: argparse.Namespace, console: Console) -> None:
    """Do what the command line asks for."""
    prior = None
    if not chosen.classical:
        prior = Prior(chosen.model, chosen.steps, chosen.samples)
    found = items(chosen.recordings, chosen.noise, chosen.items, chosen.seed)
    comparison = Comparison(found, chosen.work, prior, console)
    tables, pictures, report = [], [], {}
    for name in chosen.cases:
        damaged, sounds = comparison.sounds(name)
        report[name] = scores = comparison.scores(damaged, sounds)
        means = {method: summary(each) for method, each in scores.items()}
        ways = CASES[name].ours if prior else {}
        made = [f"`{task}`: {prior.described(way)}." for task, way in ways.items() if prior]
        tables.append("\n\n".join([rows(CASES[name].title, means), *made]))
        console.print(tables[-1], markup=False, highlight=False, soft_wrap=True)
        pictures.append(shown(CASES[name], damaged, sounds, scores, means))
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    if prior and chosen.cases == list(CASES):
        text = "\n\n".join([told(prior, chosen), *tables])
        PAGE.write_text(renew(PAGE.read_text("utf-8"), "figures", text), "utf-8")
        draw(pictures, RATE, PAGE.with_suffix(".png"))


def shown(
    case: Case,
    damaged: Sequence[Damaged],
    sounds: Mapping[str, Sequence[Array]],
    scores: Mapping[str, Sequence[Mapping[str, float]]],
    means: Mapping[str, Summary],
) -> tuple[str, dict[str, Array]]:
    """Return the sounds to draw of a case: of the recording that is the median of the last method.

    Of the classical methods, the one with the least mel distance; of ours, one sample.
    """
    classical = min(case.classical, key=lambda method: means[method]["mel"][0])
    ours = [f"`{method}`" for method in case.ours if f"`{method}`" in sounds]
    index = median(scores[(ours or [classical])[0]])
    given = {"recorded": damaged[index].clean, "damaged": sounds[NOTHING][index]}
    made = {method.strip("`"): sounds[method][index] for method in (classical, *ours)}
    return case.title, given | made


def told(prior: Prior, chosen: argparse.Namespace) -> str:
    """Return the sentence that says what was compared."""
    return (
        f"{chosen.items} recordings, {chosen.samples} samples of model {prior.name} for each, "
        f"seed {chosen.seed}."
    )


def _read(path: Path) -> Array:
    return read_audio(path, RATE, 1)[0][0].double().numpy()


def _write(path: Path, sound: Array) -> None:
    """Write a sound [L], or several [N, L] as channels, as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    soundfile.write(buffer, sound.T, RATE, format="WAV", subtype="FLOAT")
    write_atomic(path, buffer.getvalue())


if __name__ == "__main__":
    main()
