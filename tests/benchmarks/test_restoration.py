"""The comparison with classical restoration damages, repairs and scores as it says."""

from __future__ import annotations

import importlib
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("kernel_audio_speech_metrics")

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("solvers", "restoration")
RATE = 8000
MODEL = np.array([-0.85, 0.8, -0.1])


@pytest.fixture(scope="module")
def script():
    """Import the scripts' modules by name; those of other benchmarks may have the same."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in FOLDERS:
            patch.syspath_prepend(str(ROOT / "benchmarks" / folder))
        patch.delitem(sys.modules, "compare", raising=False)
        yield importlib.import_module
        patch.delitem(sys.modules, "compare", raising=False)


@pytest.fixture
def chance():
    return np.random.default_rng(0)


def harmonics(samples: int = 4000) -> np.ndarray:
    """Return five harmonics of 150 Hz: exactly predictable, and with nothing above 750 Hz."""
    time = np.arange(samples) / RATE
    return 0.1 * sum(np.cos(2 * np.pi * 150 * n * time + n) for n in range(1, 6))


def autoregressive(filter_: np.ndarray, pushes: np.ndarray) -> np.ndarray:
    """Return the sound whose prediction errors are `pushes`."""
    order = len(filter_) - 1
    sound = np.zeros(order + len(pushes))
    for place, push in enumerate(pushes, order):
        sound[place] = push - filter_[1:] @ sound[place - order : place][::-1]
    return sound[order:]


@pytest.mark.parametrize("samples", [100, 1000, 1023])
def test_frames_add_up_to_the_recording(script, chance, samples):
    frames = script("frames")
    sound = chance.standard_normal(samples)
    cut = frames.cut(sound, 256)
    assert cut.shape[1] == 256
    np.testing.assert_allclose(
        frames.join(cut * frames.window(256) ** 2, samples), sound, atol=1e-12
    )


def test_gaps_lie_apart_from_each_other_and_the_ends(script, chance):
    damages = script("damages")
    clean = chance.standard_normal(RATE)
    damaged = damages.with_gaps(clean, RATE, chance)
    assert len(damaged.spans) == 3
    edges = [0, *(edge for span in damaged.spans for edge in span), RATE]
    assert [stop - start for start, stop in damaged.spans] == [400] * 3
    assert min(np.diff(edges)[::2]) >= 0.06 * RATE
    assert damaged.lost.sum() == 1200
    assert not damaged.given[damaged.lost].any()
    assert (damaged.given == clean)[~damaged.lost].all()


def test_gaps_are_where_someone_speaks(script, chance):
    damages = script("damages")
    clean = 1e-3 * chance.standard_normal(RATE)
    clean[3000:5000] *= 1000
    for _ in range(10):
        for start, stop in damages.with_gaps(clean, RATE, chance).spans:
            assert start < 5000
            assert stop > 3000


def test_a_recording_too_short_for_a_gap_is_refused(script, chance):
    with pytest.raises(ValueError, match=r"0\.100 s has no room"):
        script("damages").with_gaps(np.ones(800), RATE, chance)


def test_spans_are_told_to_the_sample(script):
    text = script("damages").spoken([(1001, 1401), (7003, 7403)], RATE)
    read = [[round(float(edge) * RATE) for edge in span.split(":")] for span in text.split(",")]
    assert read == [[1001, 1401], [7003, 7403]]


@pytest.mark.parametrize("target", [3.0, 7.0])
def test_clipping_leaves_the_sdr_that_is_asked_for(script, chance, target):
    damages = script("damages")
    damaged = damages.clipped(chance.standard_normal(2000), target)
    assert damages.sdr(damaged.given, damaged.clean) == pytest.approx(target, abs=1e-4)
    assert np.abs(damaged.given).max() == damaged.level
    np.testing.assert_array_equal(np.abs(damaged.given) == damaged.level, damaged.lost)


def test_the_low_pass_keeps_what_is_below_and_nothing_above(script):
    damages = script("damages")
    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * frequency * time) for frequency in (1900, 2100))
    inner = slice(1000, -1000)
    given = damages.low_passed(low + high, RATE, 2000.0).given
    assert np.abs(given - low)[inner].max() < 1e-3


def test_noise_has_the_snr_over_the_recording_and_goes_on_after_it(script, chance):
    damages = script("damages")
    clean, noise = chance.standard_normal(4000), chance.standard_normal(20000)
    damaged = damages.with_noise(clean, noise, RATE, 5.0, 0.5)
    assert len(damaged.given) == 6000
    assert damages.sdr(damaged.given[:4000], clean) == pytest.approx(5.0)
    ratio = damaged.given[4000:] / noise[7000 + 4000 : 7000 + 6000]
    np.testing.assert_allclose(ratio, ratio[0])


def test_burg_finds_the_model_that_a_sound_was_made_with(script, chance):
    autoregression = script("autoregression")
    *_, filter_ = autoregression.filters(MODEL)
    sound = autoregressive(filter_, chance.standard_normal(20000))
    np.testing.assert_allclose(autoregression.burg(sound, 3), MODEL, atol=0.03)


def test_prediction_errors_whiten_the_stationary_process(script):
    """E'E is the inverse of the covariance, also of the first samples."""
    autoregression = script("autoregression")
    *_, filter_ = autoregression.filters(MODEL)
    matrix = autoregression.errors(MODEL, 60)
    pulse = np.zeros(4000)
    pulse[0] = 1
    response = autoregressive(filter_, pulse)
    covariance = [response[: 4000 - lag] @ response[lag:] for lag in range(60)]
    index = np.arange(60)
    toeplitz = np.array(covariance)[np.abs(index[:, None] - index)]
    np.testing.assert_allclose(matrix.T @ matrix @ toeplitz, np.eye(60), atol=1e-8)


@pytest.mark.parametrize(
    ("method", "gap", "more"),
    [("extrapolated", 400, {}), ("interpolated", 80, {"iterations": 1})],
)
def test_prediction_fills_a_predictable_sound(script, method, gap, more):
    gaps, damages = script("gaps"), script("damages")
    clean = harmonics()
    spans = ((1000, 1000 + gap), (2200, 2200 + gap))
    given = clean.copy()
    for start, stop in spans:
        given[start:stop] = 0
    filled = getattr(gaps, method)(given, spans, order=32, context=600, **more)
    assert damages.sdr(filled, clean) > 30
    outside = np.ones(len(clean), bool)
    for start, stop in spans:
        outside[start:stop] = False
    np.testing.assert_array_equal(filled[outside], clean[outside])


def test_interpolation_is_the_conditional_mean_of_its_model(script, chance):
    """With the true filter the gap is E[unknown | known] of the Gaussian process."""
    gaps, autoregression = script("gaps"), script("autoregression")
    *_, filter_ = autoregression.filters(MODEL)
    clean = autoregressive(filter_, chance.standard_normal(200))
    spans, part = ((90, 110),), slice(90, 110)
    given = clean.copy()
    given[part] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "burg", lambda sound, order: MODEL)
        filled = gaps.interpolated(given, spans, 3, 90, 1)
    matrix = autoregression.errors(MODEL, 200)
    precision = matrix.T @ matrix
    mean = -np.linalg.solve(precision[part, part], precision[part] @ given)
    np.testing.assert_allclose(filled[part], mean, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "options", "least"),
    [
        ("spline", {}, 20),
        ("predicted", {"frame": 256, "order": 32, "iterations": 3}, 30),
        ("sparse", {"frame": 256, "steps": 200}, 20),
    ],
)
def test_declipping_restores_a_simple_sound_and_agrees_with_what_is_known(
    script, method, options, least
):
    clipping, damages = script("clipping"), script("damages")
    damaged = damages.clipped(harmonics(2000), 12.0)
    restored = getattr(clipping, method)(damaged.given, damaged.level, **options)
    assert damages.sdr(restored, damaged.clean) > least
    np.testing.assert_array_equal(restored[~damaged.lost], damaged.clean[~damaged.lost])
    beyond = restored * np.sign(damaged.given)
    assert (beyond[damaged.lost] >= damaged.level).all()


@pytest.mark.parametrize("method", ["subtracted", "wiener"])
def test_denoising_takes_noise_away_and_leaves_a_clean_sound_alone(script, chance, method):
    denoising, damages = script("denoising"), script("damages")
    clean = harmonics()
    damaged = damages.with_noise(clean, chance.standard_normal(9000), RATE, 5.0, 0.0)
    repair = getattr(denoising, method)
    assert damages.sdr(repair(damaged.given, 256)[:4000], clean) > 12
    quiet = damages.with_noise(clean, chance.standard_normal(9000), RATE, 60.0, 0.0)
    assert damages.sdr(repair(quiet.given, 256)[:4000], clean) > 25


def test_the_mirrored_band_lies_above_the_cutoff_at_its_level(script, chance):
    band, damages = script("band"), script("damages")
    given = damages.low_passed(chance.standard_normal(16000), RATE, 2000.0).given
    wider = band.mirrored(given, RATE, 2000.0, 256, drop=6.0)
    power = np.abs(np.fft.rfft(wider)[:8000]) ** 2
    assert np.abs(np.fft.rfft(wider - given))[:3900].max() < 0.05 * np.sqrt(power[:3900].mean())
    level = 10 * np.log10(power[4400:7800].mean() / power[2000:3900].mean())
    assert level == pytest.approx(-6, abs=1)


def test_scores_of_a_copy_a_quieter_copy_and_silence_in_a_gap(script, chance):
    scoring, damages = script("scoring"), script("damages")
    clean = chance.standard_normal(4000)
    damaged = damages.with_gaps(clean, RATE, chance)
    judge = scoring.Judge(RATE)
    copy = judge.scores(clean, damaged)
    assert copy["mel"] == copy["lsd"] == 0
    assert copy["si_sdr"] > 90
    assert copy["lost"] > 90
    half = judge.scores(clean / 2, damaged)
    assert half["mel"] == pytest.approx(20 * math.log10(2), abs=1e-3)
    assert half["lsd"] == pytest.approx(20 * math.log10(2), abs=1e-1)
    assert half["si_sdr"] > 90
    assert half["lost"] == pytest.approx(20 * math.log10(2))
    assert judge.scores(damaged.given, damaged)["lost"] == pytest.approx(0)


def test_a_summary_is_the_mean_and_the_deviation_of_common_scores(script):
    found = script("scoring").summary([{"mel": 1.0, "lsd": 2.0}, {"mel": 3.0}])
    assert found == {"mel": (2.0, pytest.approx(math.sqrt(2)))}


def test_the_table_marks_the_best_of_each_score(script):
    text = script("compare").rows(
        "Gaps",
        {
            "nothing": {"mel": (2.0, 1.0), "si_sdr": (3.0, 1.0)},
            "spline": {"mel": (1.0, 0.5), "si_sdr": (2.5, 0.1)},
        },
    )
    assert "| nothing | 2.00 ± 1.00 | **3.00 ± 1.00** |" in text
    assert "| spline | **1.00 ± 0.50** | 2.50 ± 0.10 |" in text


@pytest.fixture
def folders(tmp_path, chance):
    """Return folders of three recordings and one noise, as options."""
    soundfile = pytest.importorskip("soundfile")
    words = []
    for name, count in (("recordings", 3), ("noise", 1)):
        (tmp_path / name).mkdir()
        for index in range(count):
            sound = 0.1 * chance.standard_normal(3000 if name == "recordings" else 9000)
            soundfile.write(tmp_path / name / f"{index}.wav", sound, RATE)
        words += [f"--{name}", str(tmp_path / name)]
    return [*words, "--items", "2", "--work", str(tmp_path / "work")]


def test_a_comparison_goes_on_where_it_was(script, folders, tmp_path, monkeypatch, capsys):
    compare = script("compare")
    argv = ["compare.py", *folders, "--classical", "--cases", "gaps", "noise"]
    monkeypatch.setattr(sys, "argv", argv)
    compare.main()
    first = capsys.readouterr().out
    assert re.search(r"gaps: linear prediction from both sides: \d \(2 of 2\)", first)
    for method in compare.CASES["noise"].classical:
        assert len(list((tmp_path / "work" / "noise" / method).iterdir())) == 2
    compare.main()
    again = capsys.readouterr().out
    assert "of 2)" not in again
    assert re.findall(r"^\|.*", again, re.MULTILINE) == re.findall(r"^\|.*", first, re.MULTILINE)


def test_a_sound_is_made_again_when_what_is_given_changes(script, folders, tmp_path, monkeypatch):
    compare = script("compare")
    argv = ["compare.py", *folders, "--classical", "--cases", "bandwidth"]
    kept = tmp_path / "work" / "bandwidth" / "mirrored spectrum"
    for cutoff, count in ((2000.0, 2), (2000.0, 2), (1500.0, 4)):
        monkeypatch.setattr(compare, "CUTOFF", cutoff)
        monkeypatch.setattr(sys, "argv", argv)
        compare.main()
        assert len(list(kept.iterdir())) == count


def test_too_few_recordings_are_refused(script, folders, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["compare.py", *folders, "--classical", "--items", "4"])
    with pytest.raises(SystemExit, match="3 recordings .* too few for 4 items"):
        script("compare").main()


def test_the_picture_has_a_row_for_each_case(script, chance, tmp_path):
    sounds = {name: chance.standard_normal(2000) for name in ("recorded", "damaged", "restored")}
    script("sheet").draw([("gaps", sounds), ("noise", sounds)], RATE, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10000


@pytest.mark.filterwarnings("ignore:. steps are too few for the order")
def test_a_model_fills_the_gaps_and_keeps_the_rest(script, tmp_path):
    compare, priors, damages = script("compare"), script("priors"), script("damages")
    way = compare.CASES["gaps"].ours["infill"]
    prior = priors.Prior("digits-edm", steps=2, samples=2)
    damaged = damages.with_gaps(harmonics(), RATE, np.random.default_rng(0))
    told = way.told(damaged, RATE)
    compare._write(tmp_path / "given.wav", damaged.given)
    made = prior.restore(way, told, tmp_path / "given.wav", 0)
    assert made.shape == (2, 4000)
    for sound in made:
        assert np.abs(sound[damaged.lost]).max() > 1e-4
        np.testing.assert_allclose(sound[~damaged.lost], damaged.given[~damaged.lost], atol=1e-7)
    assert (made[0] != made[1]).any()
    assert prior.described(way).startswith("2 steps of `ddpm`, `moments`")
    facts = prior.key(way, told, 0)
    assert facts == priors.Prior("digits-edm", steps=2, samples=2).key(way, told, 0)
    others = [
        prior.key(priors.Way(("infill", "heun")), told, 0),
        prior.key(way, {"span": "0.1:0.2"}, 0),
        prior.key(way, told, 1),
        priors.Prior("digits-edm", steps=3, samples=2).key(way, told, 0),
    ]
    assert facts not in others


def test_the_page_has_the_place_for_the_figures(script):
    compare = script("compare")
    text = compare.PAGE.read_text("utf-8")
    assert "new" in compare.renew(text, "figures", "new")
