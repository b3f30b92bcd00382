from __future__ import annotations

import errno
import io
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from kernel import InputError, UsageError, read_audio, resample
from kernel.audio import _resample_apart, wav_bytes, write_audio
from kernel.errors import NumericalError, OutputError


def sine(seconds: float = 1.0, rate: int = 16000, hertz: float = 440.0) -> torch.Tensor:
    time = torch.arange(round(seconds * rate), dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * math.pi * hertz * time))[None]


def save(path: Path, audio: torch.Tensor, rate: int = 16000, **options: str) -> Path:
    soundfile.write(path, audio.T.numpy(), rate, **options)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


@pytest.mark.parametrize(
    ("name", "tolerance"), [("a.wav", 4e-5), ("a.flac", 4e-5), ("a.aiff", 4e-5), ("a.ogg", 0.05)]
)
def test_a_file_is_read_as_it_was_written(tmp_path: Path, name: str, tolerance: float) -> None:
    stereo = torch.cat([sine(), -0.5 * sine()])
    audio, rate = read_audio(save(tmp_path / name, stereo))
    assert (audio.dtype, audio.shape, rate) == (torch.float32, (2, 16000), 16000)
    assert (audio - stereo).abs().max() < tolerance


def test_stereo_becomes_mono_by_its_mean(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", torch.cat([sine(), 0.5 * sine()]), subtype="FLOAT")
    audio, _ = read_audio(path, channels=1)
    torch.testing.assert_close(audio, 0.75 * sine().float())


def test_mono_becomes_stereo_by_copying(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", sine(), subtype="FLOAT")
    audio, _ = read_audio(path, channels=2)
    torch.testing.assert_close(audio, sine().float().repeat(2, 1))


def test_channels_that_cannot_be_converted_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", sine().repeat(3, 1))
    with pytest.raises(InputError, match=r"a\.wav has 3 channels, which cannot become 2; convert"):
        read_audio(path, channels=2)


def test_reading_resamples_to_the_rate_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", sine(rate=44100), 44100, subtype="FLOAT")
    audio, rate = read_audio(path, sample_rate=8000)
    assert (audio.shape, rate) == ((1, 8000), 8000)
    assert (audio - sine(rate=8000))[:, 200:-200].abs().max() < 1e-4


@pytest.mark.parametrize(("source", "target"), [(44100, 8000), (8000, 16000), (44100, 48000)])
def test_resampling_keeps_a_tone(source: int, target: int) -> None:
    error = resample(sine(rate=source), source, target) - sine(rate=target)
    assert error[:, target // 8 : -target // 8].abs().max() < 1e-6


@pytest.mark.parametrize(("source", "target"), [(44101, 8000), (8000, 22255), (44100, 16001)])
def test_rates_without_a_common_factor_take_little_memory(source: int, target: int) -> None:
    made = resample(sine(rate=source), source, target)
    assert made.shape == (1, target)
    error = made - sine(rate=target)
    assert error[:, target // 8 : -target // 8].abs().max() < 1e-6


@pytest.mark.parametrize(("source", "target"), [(44100, 8000), (8000, 44100), (16000, 8000)])
def test_resampling_is_the_same_in_pieces(source: int, target: int) -> None:
    noise = torch.randn(2, 20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    apart = _resample_apart(noise, source, target)
    torch.testing.assert_close(apart, resample(noise, source, target), rtol=0, atol=1e-6)


def test_resampling_removes_what_would_alias() -> None:
    left = resample(sine(rate=16000, hertz=4400), 16000, 8000)
    assert left[:, 1000:-1000].abs().max() < 1e-4


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    audio = sine()
    assert resample(audio, 16000, 16000) is audio


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.wav does not exist; check the spelling"):
        read_audio(tmp_path / "gone.wav")


def test_a_path_below_a_file_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.wav does not exist; check the spelling"):
        read_audio(save(tmp_path / "a.wav", sine()) / "b.wav")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, not an audio file; name one of its files"):
        read_audio(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(InputError, match=r"a\.wav is a pipe or a device, .*; write the sound to"):
        read_audio(tmp_path / "a.wav")


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"\1\0" * 100)
    with pytest.raises(InputError, match=r"a\.raw has no header that says its rate; convert it"):
        read_audio(tmp_path / "a.raw")


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_a_name_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(save(tmp_path / "a.wav", sine()).read_bytes())
    assert read_audio(path)[0].shape == (1, 16000)


@pytest.mark.parametrize("rate", [1, 999, 768001, 2**31 - 1])
def test_a_rate_out_of_range_is_refused_with_the_range(tmp_path: Path, rate: int) -> None:
    path = relabelled(save(tmp_path / "a.wav", sine()), rate)
    with pytest.raises(InputError, match=rf"a rate of {rate} Hz in its header, .* 1000 to 768000"):
        read_audio(path, 8000)


@pytest.mark.parametrize("rate", [0, 2**31, 2**32 - 1])
def test_a_rate_that_cannot_be_is_refused_with_the_range(tmp_path: Path, rate: int) -> None:
    path = relabelled(save(tmp_path / "a.wav", sine()), rate)
    with pytest.raises(InputError, match=r"has no channels, or no rate of 1000 to 768000 Hz"):
        read_audio(path, 8000)


def relabelled(path: Path, rate: int) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[:24] + rate.to_bytes(4, "little") + data[28:])
    return path


TAG = b"ID3\3\0\0" + bytes([0, 0, 100, 0]) + bytes(12800)  # of 12,800 bytes, 7 bits a byte


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (TAG, b""), (b"", b"TAG" + b"x" * 125)])
@pytest.mark.parametrize("counted", [True, False])
def test_an_mp3_file_is_read_whole_whatever_tags_it_has(
    tmp_path: Path, mode: str, before: bytes, after: bytes, counted: bool
) -> None:
    path = tmp_path / "a.mp3"
    noise = np.random.default_rng(0).normal(scale=0.1, size=44100)
    how = {"subtype": "MPEG_LAYER_III", "compression_level": 0.5, "bitrate_mode": mode}
    soundfile.write(path, noise, 44100, format="MP3", **how)
    data = path.read_bytes()
    if not counted:  # The first frame holds the number of frames in place of sound.
        data = data[data.index(data[:2], 4) :]
    path.write_bytes(before + data + after)
    length = read_audio(path)[0].shape[1]
    # Without the header, nothing says what the encoder added at both ends.
    assert length == 44100 if counted else 44100 < length < 44100 + 3 * 1152


def test_a_file_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.wav", sine())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"cannot read .*a\.wav: Permission denied; check its"):
        read_audio(path)


def test_a_file_of_no_bytes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    with pytest.raises(InputError, match=r"a\.wav is empty \(0 bytes\); copy it again"):
        read_audio(path)


def test_a_file_without_samples_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", torch.zeros(1, 0))
    with pytest.raises(InputError, match=r"a\.wav holds no samples; record it again"):
        read_audio(path)


def test_a_file_that_is_not_audio_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("not a sound " * 20)
    with pytest.raises(
        InputError, match=r"cannot read .*a\.wav as audio \(Format not recognised\)"
    ):
        read_audio(path)


@pytest.mark.parametrize("part", [0.5, 0.99, 0.9999])
@pytest.mark.parametrize(
    "name", ["a.wav", "a.aiff", "a.au", "a.w64", "a.flac", "a.ogg", "a.mp3", "a.voc", "a.svx"]
)
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, name: str, part: float) -> None:
    noise = 0.1 * torch.randn(1, 80000, generator=torch.Generator().manual_seed(0))
    path = cut(save(tmp_path / name, noise), part)
    with pytest.raises(InputError, match=r"a\.\w+ is (cut short|damaged or cut short).*; copy it"):
        read_audio(path)


def test_an_ogg_file_that_lacks_its_last_page_is_refused(tmp_path: Path) -> None:
    noise = 0.1 * torch.randn(1, 80000, generator=torch.Generator().manual_seed(0))
    path = save(tmp_path / "a.ogg", noise)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"OggS")])
    with pytest.raises(InputError, match=r"a\.ogg is cut short"):
        read_audio(path)


def test_the_length_of_a_cut_file_is_told(tmp_path: Path) -> None:
    path = cut(save(tmp_path / "a.wav", sine(2.0)), 0.5)
    with pytest.raises(InputError, match=r"it breaks off after 0\.999 s; copy it again or remove"):
        read_audio(path)


def test_a_stream_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", sine())
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    assert read_audio(path)[0].shape == (1, 16000)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_refused_with_its_time(tmp_path: Path, value: float) -> None:
    audio = sine().repeat(2, 1)
    audio[1, 4000] = value
    path = save(tmp_path / "a.wav", audio, subtype="FLOAT")
    with pytest.raises(
        InputError, match=r"a\.wav holds NaN or infinite.*first at 0\.250 s; export"
    ):
        read_audio(path, channels=1)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_16"), ("a.flac", "PCM_24"), ("a.wav", "FLOAT")]
)
def test_what_is_written_is_read_back(tmp_path: Path, name: str, subtype: str) -> None:
    audio = torch.cat([sine(), -0.3 * sine()]).float()
    assert write_audio(tmp_path / name, audio, 16000, subtype) == 1
    back, rate = read_audio(tmp_path / name)
    assert (rate, soundfile.info(tmp_path / name).subtype) == (16000, subtype)
    assert (back - audio).abs().max() < 4e-5


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("peak", [1.25, -8.0])
def test_beyond_full_scale_is_scaled_down_not_clipped(
    tmp_path: Path, subtype: str, peak: float
) -> None:
    audio = (sine() + 0.5) * peak
    gain = write_audio(tmp_path / "a.wav", audio, 16000, subtype)
    assert gain == pytest.approx(1 / abs(peak), rel=1e-3)
    back, _ = read_audio(tmp_path / "a.wav")
    assert (back - audio * gain).abs().max() < 4e-5


def test_full_scale_is_written_unchanged(tmp_path: Path) -> None:
    assert write_audio(tmp_path / "a.wav", torch.tensor([[1.0, -1.0, 0.0]]), 8000) == 1
    back, _ = read_audio(tmp_path / "a.wav")
    torch.testing.assert_close(back, torch.tensor([[1.0, -1.0, 0.0]]), atol=4e-5, rtol=0)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
@pytest.mark.parametrize(("bits", "dtype"), [(16, "int16"), (24, "int32")])
def test_integers_come_back_as_the_same_integers(
    tmp_path: Path, name: str, bits: int, dtype: str
) -> None:
    full = 2 ** (bits - 1)
    drawn = np.random.default_rng(0).integers(-full, full, (5000, 2))
    drawn[:6, 0] = (-full, full - 1, 0, -1, 1, -full + 1)
    # libsndfile keeps the most significant bits of an int32 for 24 bits.
    words = (drawn << (32 - bits if bits == 24 else 0)).astype(dtype)
    source, copy = tmp_path / f"source-{name}", tmp_path / name
    soundfile.write(source, words, 8000, subtype=f"PCM_{bits}")
    audio, _ = read_audio(source)
    np.testing.assert_array_equal(audio.double().numpy().T * full, drawn)
    assert write_audio(copy, audio, 8000, f"PCM_{bits}") == 1
    np.testing.assert_array_equal(soundfile.read(copy, dtype=dtype)[0], words)
    assert soundfile.info(copy).subtype == f"PCM_{bits}"


def test_every_16_bit_integer_is_written_exactly(tmp_path: Path) -> None:
    words = np.arange(-32768, 32768, dtype=np.int16)
    write_audio(tmp_path / "a.wav", torch.from_numpy(words / 32768)[None], 8000)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "a.wav", dtype="int16")[0], words)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32)])
def test_full_scale_never_wraps(tmp_path: Path, subtype: str, bits: int) -> None:
    audio = torch.tensor([[1.0, -1.0, 1 - 2.0**-bits, 0.0]], dtype=torch.float64)
    assert write_audio(tmp_path / "a.wav", audio, 8000, subtype) == 1
    words = soundfile.read(tmp_path / "a.wav", dtype="int32")[0]
    most = (2 ** (bits - 1) - 1) << (32 - bits)
    assert words.tolist() == [most, -(2**31), most, 0]


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", sine(2.0))
    write_audio(path, sine(), 16000)
    assert read_audio(path)[0].shape == (1, 16000)
    assert names(tmp_path) == ["a.wav"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_writing_refuses_what_is_not_finite(tmp_path: Path, value: float) -> None:
    audio = sine()
    audio[0, 3] = value
    with pytest.raises(NumericalError, match=r"cannot write .*a\.wav: it holds NaN or infinite"):
        write_audio(tmp_path / "a.wav", audio, 16000)
    assert names(tmp_path) == []


@pytest.mark.parametrize("shape", [(16,), (1, 1, 16), (1, 0)])
def test_writing_refuses_another_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \[C, L\]"):
        write_audio(tmp_path / "a.wav", torch.zeros(shape), 16000)


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ENOSPC, "no space is left"), (errno.EROFS, "read-only")]
)
def test_a_full_or_read_only_folder_is_named_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    before = save(tmp_path / "a.wav", sine(2.0)).read_bytes()

    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=rf"cannot write .*a\.wav: .*{reason}.*; "):
        write_audio(tmp_path / "a.wav", sine(), 16000)
    assert names(tmp_path) == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == before


def test_a_folder_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"cannot write .*a\.wav: a part of its path is not a dir"
    ):
        write_audio(tmp_path / "file" / "a.wav", sine(), 16000)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.flak is no audio format; end the.*mean 'FLAC'\?"):
        write_audio(tmp_path / "a.flak", sine(), 16000)


def test_a_name_without_an_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a name without an ending is no audio format; end"):
        write_audio(tmp_path / "a", sine(), 16000)


def test_a_subtype_that_the_format_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"FLAC has no subtype 'FLOAT'; choose from PCM_16"):
        write_audio(tmp_path / "a.flac", sine(), 16000, "FLOAT")


def test_channels_that_a_format_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"FLAC does not take 9 channels at 16000 Hz .*; end"):
        write_audio(tmp_path / "a.flac", sine().repeat(9, 1), 16000)
    assert names(tmp_path) == []


def test_wav_bytes_are_a_whole_file() -> None:
    samples, rate = soundfile.read(io.BytesIO(wav_bytes(4 * sine(), 16000)), always_2d=True)
    assert (samples.shape, rate) == ((16000, 1), 16000)
    np.testing.assert_allclose(samples[:, 0], 2 * sine()[0].numpy(), atol=1e-3)


def test_wav_bytes_refuse_what_is_not_finite() -> None:
    with pytest.raises(NumericalError, match="cannot write a sound"):
        wav_bytes(torch.full((1, 4), math.nan), 16000)


def test_importing_costs_neither_torch_nor_numpy() -> None:
    import subprocess

    code = "import kernel.audio, sys; print([m for m in ('torch', 'numpy', 'soundfile')"
    code += " if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_the_bytes_of_a_file_are_read_as_the_file_is(tmp_path: Path, format: str) -> None:
    place = tmp_path / f"a.{format.lower()}"
    soundfile.write(place, np.random.default_rng(0).normal(0, 0.1, 4000), 8000, format=format)
    data = place.read_bytes()
    for known in (read_audio(place), read_audio(place, 16000)):
        audio, rate = read_audio("shard.tar/a.wav", known[1], data=data)
        assert rate == known[1]
        assert torch.equal(audio, known[0])
    for bad, said in ((data[:-300], r"^shard.tar/a.wav "), (b"", r"^shard.tar/a.wav is empty")):
        if format != "MP3" or not bad:
            with pytest.raises(InputError, match=said):
                read_audio("shard.tar/a.wav", data=bad)
