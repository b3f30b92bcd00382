"""Audio files: read and checked, converted, written whole or not at all."""

from __future__ import annotations

import io
import math
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from kernel.errors import InputError, NumericalError, UsageError, did_you_mean
from kernel.files import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_audio", "resample", "wav_bytes", "write_audio"]

# libsndfile shortens the sizes in a cut file's header to what is there and says so in its log only.
_SHORTENED = re.compile(
    r"^\s*(?:data|SSND|BODY|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M
)
_TRUNCATED = "Seems to be a truncated file"  # the log's word for VOC
# Programs that write to a pipe leave a size near 2^31 or 2^32 where the length is not yet known.
_UNKNOWN_SIZE = 0x7FFFF000
_BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
_OGG_PAGE = 27 + 255 + 255 * 255  # the longest page, RFC 3533, section 6
_RATES = range(1_000, 768_001)
_WEIGHTS = 2**24  # of a resampling at most that are in memory at a time
_CROSSINGS, _ROLLOFF, _BETA = 64, 0.9475937167399596, 14.769656459379492


def read_audio(
    path: str | Path,
    sample_rate: int | None = None,
    channels: int | None = None,
    data: bytes | None = None,
) -> tuple[Tensor, int]:
    """Read a file of any format that libsndfile knows; return audio [C, L] (float32) and its rate.

    data: what the file holds, where it lies within another one; `path` then names it in errors.

    With `channels`, many become one by their mean and one becomes many by copying. With
    `sample_rate`, the audio is resampled to it and that is the rate returned.
    Raises InputError when the file is missing, not a regular file, not audio, cut short, empty, has
    a rate outside 1,000 to 768,000 Hz, holds NaN or infinite samples or has channels that cannot
    become `channels`. An MP3 file without a header that says its length may be cut.
    """
    import torch

    path = Path(path)
    samples, source = _decode(path, data)
    audio = torch.from_numpy(samples.T).contiguous()
    finite = audio.isfinite().all(0)
    if not finite.all():
        second = int(finite.logical_not().nonzero()[0]) / source
        raise InputError(
            f"{path} holds NaN or infinite samples, the first at {second:.3f} s;"
            " export it again or remove it"
        )
    if channels is not None and channels != len(audio):
        audio = _remix(path, audio, channels)
    if sample_rate is not None:
        audio, source = resample(audio, source, sample_rate), sample_rate
    return audio, source


def resample(audio: Tensor, source: int, target: int) -> Tensor:
    """Return `audio` [..., L] at the rate `target`, [..., ceil(L target / source)].

    A windowed sinc of 64 zero crossings (Kaiser window, beta 14.77: about 100 dB of rejection) that
    passes 0.9476 of the lower Nyquist frequency.
    """
    if source == target:
        return audio
    common = math.gcd(source, target)
    # The library's kernel has a row for each phase, which reaches over all of them.
    if (_taps(source, target) + source // common) * (target // common) > _WEIGHTS:
        return _resample_apart(audio, source, target)
    from torchaudio.functional import resample as sinc

    # Typed here because torchaudio's own signature comes without a return type in some releases.
    result: Tensor = sinc(
        audio,
        source,
        target,
        lowpass_filter_width=_CROSSINGS,
        rolloff=_ROLLOFF,
        resampling_method="sinc_interp_kaiser",
        beta=_BETA,
    )
    return result


def _taps(source: int, target: int) -> int:
    """Return how many samples at the rate `source` make one at `target`."""
    return 2 * math.ceil(_CROSSINGS * source / (_ROLLOFF * min(source, target)))


def _resample_apart(audio: Tensor, source: int, target: int) -> Tensor:
    """Be `resample` for rates of so many phases that their weights together fill the memory."""
    import torch
    from torch.nn.functional import pad

    fine = 4096  # values of the windowed sinc a crossing, of which two are mixed: 2e-8 off at most
    t = torch.arange(_CROSSINGS * fine + 2, dtype=torch.float64) / fine
    shape = _BETA * (1 - (t / _CROSSINGS).square()).clamp(min=0).sqrt()
    sinc = torch.sinc(t) * torch.i0(shape) / torch.i0(shape[0])
    scale = _ROLLOFF * min(source, target) / source
    taps = _taps(source, target)
    around, padded = torch.arange(1 - taps // 2, 1 + taps // 2), pad(audio, (taps, taps))
    length, parts = -(-audio.shape[-1] * target // source), []
    for start in range(0, length, 2**22 // taps):
        some = torch.arange(start, min(start + 2**22 // taps, length))
        # In whole numbers, so that no phase is rounded.
        phase = (some * source % target).double()[:, None] / target
        place = ((around - phase).abs() * scale).clamp(max=_CROSSINGS) * fine
        below = place.long()
        weights = torch.lerp(sinc[below], sinc[below + 1], place - below) * scale
        heard = padded[..., taps + (some * source // target)[:, None] + around]
        parts.append((heard * weights).sum(-1))
    return torch.cat(parts, -1).to(audio.dtype)


def write_audio(path: Path, audio: Tensor, sample_rate: int, subtype: str = "PCM_16") -> float:
    """Write `audio` [C, L] in the format that `path` ends with and return the gain applied.

    Samples that were read from integers of as many bits are written as the same integers. The gain
    is 1, or less where a peak beyond full scale would have been clipped.
    Raises OutputError when the place cannot be written (nothing is left behind), NumericalError
    when a sample is not finite, UsageError for a format or subtype that libsndfile lacks.
    """
    import soundfile

    kind = path.suffix.removeprefix(".").upper()
    known = soundfile.available_formats()
    if kind not in known:
        raise UsageError(
            f"cannot write {path}: {path.suffix or 'a name without an ending'} is no audio format;"
            f" end the name in .wav or .flac{did_you_mean(kind, known)}"
        )
    if not soundfile.check_format(kind, subtype):
        choices = ", ".join(sorted(soundfile.available_subtypes(kind)))
        raise UsageError(
            f"cannot write {path}: {kind} has no subtype {subtype!r}; choose from {choices}"
        )
    try:
        data, gain = _encode(str(path), audio, sample_rate, kind, subtype)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"cannot write {path}: {kind} does not take {len(audio)} channels at {sample_rate} Hz"
            f" ({_reason(error)}); end the name in .wav"
        ) from None
    write_atomic(path, data)
    return gain


def wav_bytes(audio: Tensor, sample_rate: int) -> bytes:
    """Return `audio` [C, L] as a 16-bit WAV file, scaled down when it exceeds full scale.

    Raises NumericalError when a sample is not finite.
    """
    return _encode("a sound", audio, sample_rate, "WAV", "PCM_16")[0]


class _Endless(io.BufferedReader):
    """A file that seems longer than it is.

    libsndfile estimates the length of an MP3 file that does not say it from that of the file, tags
    included, and reads no further.
    """

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; where the end itself is asked for, beyond it."""
        if (offset, whence) == (0, os.SEEK_END):
            return super().seek(super().seek(0, os.SEEK_END) + 2**33)
        return super().seek(offset, whence)


def _decode(path: Path, data: bytes | None) -> tuple[Any, int]:
    """Return the samples [L, C] (float32 array) and the rate of a file that is whole."""
    import soundfile

    def opened() -> Any:
        return path.open("rb") if data is None else io.BytesIO(data)

    if data is None:
        _check_file(path)
    elif not data:
        raise InputError(f"{path} is empty (0 bytes); copy it again or remove it")
    try:
        with opened() as file, soundfile.SoundFile(file) as sound:
            promised, rate, kind = sound.frames, sound.samplerate, sound.format
            log = sound.extra_info
            if rate not in _RATES:
                raise InputError(
                    f"{path} has a rate of {rate} Hz in its header, and only {_RATES[0]} to"
                    f" {_RATES[-1]} Hz are read; correct the header, or copy the file again"
                )
            with opened() as again:
                counted = kind != "MP3" or _has_count(again)
                whole = kind != "OGG" or _has_last_page(again)
            samples = _samples(path, sound) if counted else None
        if samples is None:
            with _Endless(opened()) as endless, soundfile.SoundFile(endless) as sound:
                promised, samples = 0, _samples(path, sound)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"cannot read {path} as audio ({_reason(error)});"
            " convert it to WAV or FLAC, or copy it again if it is damaged"
        ) from None
    sizes = (map(int, found.groups()) for found in _SHORTENED.finditer(log))
    cut = len(samples) < promised or any(there < said < _UNKNOWN_SIZE for said, there in sizes)
    if cut or _TRUNCATED in log or not whole:
        raise InputError(
            f"{path} is cut short: it breaks off after {len(samples) / rate:.3f} s;"
            " copy it again or remove it"
        )
    if not len(samples):
        raise InputError(f"{path} holds no samples; record it again or remove it")
    return samples, rate


def _check_file(path: Path) -> None:
    """Raise InputError unless a file is there that can be opened and has a header."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise InputError(f"{path} does not exist; check the spelling of the path") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path} is a folder, not an audio file; name one of its files")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"{path} is a pipe or a device, not an audio file; write the sound to a file first"
        )
    if status.st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); copy it again or remove it")
    if path.suffix.lower() == ".raw":
        raise InputError(f"{path} has no header that says its rate; convert it to WAV or FLAC")


def _samples(path: Path, sound: Any) -> Any:
    """Return the samples [L, C] of an open file, whatever length its header claims."""
    import numpy as np
    import soundfile

    found = [np.zeros((0, sound.channels), np.float32)]
    try:
        while len(block := sound.read(2**20, dtype="float32", always_2d=True)):
            found.append(block)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path} is damaged or cut short ({_reason(error)}); copy it again or remove it"
        ) from None
    return np.concatenate(found)


def _has_count(file: BinaryIO) -> bool:
    """Return whether an MP3 file says how long it is, in the first frame after its ID3v2 tag."""
    tag = file.read(10)
    if tag[:3] == b"ID3":  # ID3v2.3, section 3.1: the size has seven bits a byte
        file.seek(sum(byte << 7 * place for place, byte in enumerate(tag[:5:-1])), os.SEEK_CUR)
    frame = tag[3:] + file.read(64)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))


def _has_last_page(file: BinaryIO) -> bool:
    """Return whether an Ogg file ends with a whole page that says so (RFC 3533, section 6)."""
    file.seek(-min(_OGG_PAGE, file.seek(0, os.SEEK_END)), os.SEEK_END)
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    if len(page) < 27:
        return False
    segments = page[27 : 27 + page[26]]
    return bool(page[5] & 4) and len(page) >= 27 + len(segments) + sum(segments)


def _reason(error: Any) -> str:
    if "SF_INFO" in error.error_string:
        return f"its header has no channels, or no rate of {_RATES[0]} to {_RATES[-1]} Hz"
    if "(possibly a pipe?)" in error.error_string:
        return "its content is damaged"
    return str(error.error_string).removeprefix("Error :").strip(" .")


def _remix(path: Path, audio: Tensor, channels: int) -> Tensor:
    if channels == 1:
        return audio.mean(0, keepdim=True)
    if len(audio) == 1:
        return audio.repeat(channels, 1)
    raise InputError(
        f"{path} has {len(audio)} channels, which cannot become {channels};"
        f" convert it to 1 or {channels} channels"
    )


def _encode(
    name: str, audio: Tensor, sample_rate: int, kind: str, subtype: str
) -> tuple[bytes, float]:
    """Return the bytes of a file of `audio` [C, L] and the gain applied to it."""
    import soundfile

    if audio.ndim != 2 or not audio.numel():
        raise ValueError(f"audio has the shape {tuple(audio.shape)}; expected [C, L] and L > 0")
    audio = audio.detach().cpu().double()
    if not audio.isfinite().all():
        raise NumericalError(
            f"cannot write {name}: it holds NaN or infinite samples;"
            " check the model's weights or sample in float32"
        )
    gain = 1 / max(1.0, float(audio.abs().max()))
    samples = (audio * gain).T
    if bits := _BITS.get(subtype):
        # libsndfile reads v / 2^(bits - 1) and would write with 2^(bits - 1) - 1.
        full = 2 ** (bits - 1)
        samples = (samples * full).round().clamp(-full, full - 1)
        samples = (samples * 2 ** (32 - bits)).int()
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.numpy(), sample_rate, format=kind, subtype=subtype)
    return buffer.getvalue(), gain
