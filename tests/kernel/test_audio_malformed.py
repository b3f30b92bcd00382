"""250 malformed audio files from a seed: each is read, or refused in one sentence, at once."""

from __future__ import annotations

import os
import random
import signal
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from kernel import InputError, read_audio, resample

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "ULAW"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("VOC", "PCM_16"),
    ("SVX", "PCM_16"),
    ("NIST", "PCM_16"),
    ("AVR", "PCM_16"),
    ("IRCAM", "PCM_16"),
    ("PAF", "PCM_16"),
    ("PVF", "PCM_16"),
    ("MAT5", "PCM_16"),
    ("SDS", "PCM_16"),
    ("XI", "DPCM_16"),
]
"""Formats of libsndfile's, with a subtype each."""

LENGTHLESS = {".nist", ".avr", ".ircam", ".paf", ".pvf", ".mat5"}
"""Formats that do not say their length, or in which libsndfile does not look."""

WORDS = [0, 1, 2, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
"""Numbers that break what adds to them, multiplies them or allocates so many bytes."""

RATE, SAMPLES = 16000, 4000
CASES = 250
Whole = dict[tuple[str, str], bytes]
Draw = random.Random


def cut(data: bytes, draw: Draw) -> bytes:
    """End early, anywhere."""
    return data[: draw.randrange(1, len(data))]


def flipped(data: bytes, draw: Draw) -> bytes:
    """Turn some bits over, most of them in the header."""
    changed = bytearray(data)
    for _ in range(draw.randrange(1, 20)):
        reach = 64 if draw.random() < 0.7 else len(changed)
        changed[draw.randrange(min(reach, len(changed)))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def extreme(data: bytes, draw: Draw) -> bytes:
    """Put an extreme number into the header, in either order of its bytes."""
    place = 4 * draw.randrange(1, 16)
    word = struct.pack(draw.choice("<>") + "I", draw.choice(WORDS))
    return data[:place] + word + data[place + 4 :]


def mislabelled(data: bytes, draw: Draw) -> bytes:
    """Take the first bytes of another format."""
    magic = draw.choice(
        [b"RIFF", b"fLaC", b"OggS", b"FORM", b"ID3\x04", b"caff", b"\xff\xfb\x90\0"]
    )
    return magic + data[len(magic) :]


def longer(data: bytes, draw: Draw) -> bytes:
    """Append what is not audio."""
    return data + draw.randbytes(draw.randrange(1, 3000))


def noise(data: bytes, draw: Draw) -> bytes:
    """Be no file of any format, behind a header or none."""
    return data[: draw.choice([0, 4, 12, 44])] + draw.randbytes(draw.randrange(1, 3000))


def spliced(data: bytes, draw: Draw) -> bytes:
    """Lose a piece from the middle, or have it twice."""
    first, last = sorted(draw.randrange(len(data)) for _ in range(2))
    return data[:first] + data[last:] if draw.random() < 0.5 else data[:last] + data[first:]


FAULTS: tuple[Callable[[bytes, Draw], bytes], ...] = (
    *(cut, flipped, extreme, extreme, mislabelled, longer, noise, spliced),
)


def header(rate: int, channels: int, bits: int, size: int) -> bytes:
    """Return the header of a WAV file, whatever it says."""
    block = channels * bits // 8 & 0xFFFF
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * block & 0xFFFFFFFF, block, bits)
    return b"RIFF" + struct.pack("<I", size) + b"WAVEfmt \x10\0\0\0" + form + b"data"


def odd(folder: Path) -> Iterator[Path]:
    """Make what is no file, or a file that says the impossible of itself."""
    (folder / "folder.wav").mkdir()
    (folder / "dangling.wav").symlink_to("nowhere")
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "empty.wav").touch()
    (folder / "headerless.raw").write_bytes(b"\0" * 1000)
    yield from sorted(folder.iterdir())
    yield from (
        folder / "missing.wav",
        folder / "a\0b.wav",
        folder / ("a" * 300),
        Path("/dev/zero"),
    )
    said = [(rate, 1, 16) for rate in (0, 1, 999, RATE + 1, 768001, 2**31, 2**32 - 1)]
    said += [(RATE, channels, 16) for channels in (0, 1024, 65535)]
    said += [(RATE, 1, bits) for bits in (0, 65535)]
    for number, (rate, channels, bits) in enumerate(said):
        path = folder / f"header-{number}.wav"
        sound = struct.pack("<I", 2 * SAMPLES) + b"\1\0" * SAMPLES
        path.write_bytes(header(rate, channels, bits, 36 + 2 * SAMPLES) + sound)
        yield path


def cases(folder: Path, seed: int) -> Iterator[tuple[str, Path]]:
    """Yield the name of what is wrong and a path, `CASES` in all."""
    draw = Draw(seed)
    tone = 0.3 * np.sin(np.arange(SAMPLES) / 5)
    whole: Whole = {}
    for kind, subtype in FORMATS:
        path = folder / f"whole.{kind.lower()}"
        soundfile.write(path, tone, 44100 if kind == "XI" else RATE, subtype, format=kind)
        whole[kind, subtype] = path.read_bytes()
        path.unlink()
    others = [("odd", path) for path in odd(folder)]
    yield from others
    for number in range(CASES - len(others)):
        fault = FAULTS[number % len(FAULTS)]
        (kind, _), data = draw.choice(sorted(whole.items()))
        # A name in Latin-1 is no UTF-8.
        encoding = "utf-8" if number % 5 else "latin-1"
        name = f"{number}-{fault.__name__}-é.{kind.lower()}".encode(encoding)
        path = folder / os.fsdecode(name)
        path.write_bytes(fault(data, draw))
        yield fault.__name__, path


def give_up(*_: object) -> None:
    raise TimeoutError


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes, no alarm")
def test_every_malformed_file_is_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    resample(torch.zeros(1, 100), RATE, 8000)  # so that no import is timed
    before = signal.signal(signal.SIGALRM, give_up)
    try:
        for fault, path in cases(tmp_path, seed=11):
            signal.alarm(20)
            try:
                audio, rate = read_audio(path, sample_rate=8000, channels=1)
            except InputError as error:
                found["refused"] += 1
                said = str(error).replace(str(path), "PATH")
                assert "PATH" in said and said.count("; ") == 1, ascii(said)
                assert "\n" not in said and len(said) < 200, ascii(said)
            except BaseException as error:
                error.add_note(f"{fault}: {path!a}")
                raise
            else:
                found["read"] += 1
                assert (len(audio), rate) == (1, 8000), path
                assert audio.numel() and audio.isfinite().all(), path
                assert fault != "cut" or path.suffix in LENGTHLESS, path
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert found.total() == CASES
    assert found["refused"] > CASES / 2 and found["read"] > CASES / 10
