import copy
import importlib
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console
from torch.nn.functional import conv1d

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "fsdd"


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "digits"))
        yield


@pytest.fixture(scope="module")
def classifier():
    return importlib.import_module("classifier")


@pytest.fixture
def measures():
    return importlib.import_module("measures")


@pytest.fixture(scope="module")
def judge():
    return importlib.import_module("judge")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def sample(mean, covariance, count, generator):
    """Return features [count, D] whose sample mean and unbiased covariance are exactly these."""
    raw = torch.randn(count, len(mean), generator=generator, dtype=torch.float64)
    raw -= raw.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(raw.T @ raw / (count - 1)), raw.T, upper=False
    )
    return (torch.linalg.cholesky(covariance) @ white).T + mean


def write(folder, name, wave, rate=8000):
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / name, wave.numpy(), rate, subtype="FLOAT")
    return folder / name


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Make a data folder: per digit four train and two test files of noise of its own colour."""
    folder = tmp_path_factory.mktemp("digits")
    generator = torch.Generator().manual_seed(0)
    for digit in range(10):
        colour = torch.randn(digit + 2, generator=generator)
        for split, count in (("train", 4), ("test", 2)):
            for index in range(count):
                noise = torch.randn(3000, generator=generator)
                wave = conv1d(noise[None, None], colour[None, None])[0, 0]
                write(folder / split, f"{digit}_noise_{index}.wav", 0.05 * wave)
    return folder


def test_frechet_is_the_closed_form_of_two_dimensional_gaussians(measures, generator):
    one = torch.tensor([[2.0, 0.7], [0.7, 1.0]], dtype=torch.float64)
    two = torch.tensor([[0.5, -0.3], [-0.3, 3.0]], dtype=torch.float64)
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    # For 2 x 2 matrices tr (A B)^1/2 = (tr A B + 2 (det A B)^1/2)^1/2.
    product = one @ two
    root = torch.sqrt(product.trace() + 2 * product.det().sqrt())
    expected = 5 + one.trace() + two.trace() - 2 * root
    first = sample(mean, one, 7, generator)
    second = sample(0 * mean, two, 50, generator)
    assert measures.frechet(first, second) == pytest.approx(float(expected), abs=2e-5)
    assert measures.frechet(second, first) == pytest.approx(float(expected), abs=2e-5)


def test_frechet_is_the_closed_form_of_independent_features(measures, generator):
    one = torch.rand(8, generator=generator, dtype=torch.float64) + 0.1
    two = torch.rand(8, generator=generator, dtype=torch.float64) + 0.1
    zero = torch.zeros(8, dtype=torch.float64)
    first = sample(zero, one.diag(), 20, generator)
    second = sample(zero + 0.5, two.diag(), 30, generator)
    expected = 8 * 0.25 + (one.sqrt() - two.sqrt()).square().sum()
    assert measures.frechet(first, second) == pytest.approx(float(expected), abs=2e-5)


def test_frechet_is_zero_for_the_same_few_items(measures, generator):
    items = torch.randn(5, 16, generator=generator)
    assert measures.frechet(items, items) == pytest.approx(0, abs=1e-6)


def test_frechet_of_one_item_is_refused(measures):
    with pytest.raises(ValueError, match="two items or more"):
        measures.frechet(torch.zeros(1, 3), torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("hits", "count", "interval"),
    [(8, 10, (0.4901625, 0.9433178)), (0, 10, (0, 0.2775328)), (10, 10, (0.7224672, 1))],
)
def test_wilson_gives_the_published_interval(measures, hits, count, interval):
    assert measures.wilson(hits, count) == pytest.approx(interval, abs=1e-6)


def test_wilson_knows_nothing_without_items(measures):
    assert measures.wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("chances", "score"),
    [
        (torch.eye(10), 10),
        (torch.eye(10)[[3, 3, 3]], 1),
        (torch.full((4, 5), 0.2), 1),
        (
            torch.tensor([[0.9, 0.1], [0.1, 0.9]]),
            2 * math.exp(0.9 * math.log(0.9) + 0.1 * math.log(0.1)),
        ),
    ],
)
def test_inception_score_of_known_probabilities(measures, chances, score):
    assert measures.inception(chances) == pytest.approx(score, rel=1e-6)


def test_spread_counts_pairs_within_a_digit_only(measures):
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [100.0, 0.0], [100.0, 1.0], [7.0, 7.0]])
    assert measures.spread(features, torch.tensor([1, 1, 2, 2, 9])) == pytest.approx(3)


def test_spread_without_pairs_is_unknown(measures):
    assert math.isnan(measures.spread(torch.zeros(2, 3), torch.tensor([0, 1])))


def test_nearest_is_a_root_mean_square_and_names_the_item(measures):
    library = torch.tensor([[10.0, 0.0], [0.0, 3.0], [9.0, 9.0]])
    distance, which = measures.nearest(torch.tensor([[0.0, 4.0], [10.0, 2.0]]), library)
    assert distance.tolist() == pytest.approx([math.sqrt(0.5), math.sqrt(2)])
    assert which.tolist() == [1, 0]


def test_nearest_finds_a_moved_item(measures, generator):
    library = torch.randn(6, 5, 40, generator=generator)
    moved = library[4:5].roll(-3, -1)
    assert measures.nearest(moved, library, shifts=2)[0] > 0.5
    distance, which = measures.nearest(moved, library, shifts=3)
    assert distance.item() == pytest.approx(0, abs=1e-5)
    assert which.item() == 4


def test_copies_flags_a_single_exact_copy(measures, generator):
    library = torch.randn(300, 8, generator=generator)
    real = measures.nearest(torch.randn(150, 8, generator=generator), library)[0]
    honest = torch.randn(99, 8, generator=generator)
    check = measures.copies(measures.nearest(torch.cat([honest, library[:1]]), library)[0], real)
    assert check["copied"] == [99]
    assert check["suspect"]


def test_copies_flags_many_near_copies(measures, generator):
    real = 1 + torch.rand(150, generator=generator, dtype=torch.float64)
    near = torch.linspace(0.7, 2, 100, dtype=torch.float64)
    check = measures.copies(near, real)
    assert check["copied"] == []
    assert check["closer"] == pytest.approx((near < real.quantile(0.01)).double().mean())
    assert check["suspect"]


def test_copies_clears_fresh_items(measures, generator):
    library = torch.randn(300, 8, generator=generator)
    real = measures.nearest(torch.randn(150, 8, generator=generator), library)[0]
    fresh = measures.nearest(torch.randn(100, 8, generator=generator), library)[0]
    assert not measures.copies(fresh, real)["suspect"]


def test_accuracy_counts_hits_per_digit(judge, measures):
    chances = torch.eye(10)[[0, 0, 1, 1, 1]]
    rows = judge.accuracy(chances, torch.tensor([0, 0, 1, 0, 2]))
    assert (rows["0"]["hits"], rows["0"]["count"]) == (2, 3)
    assert (rows["1"]["hits"], rows["1"]["count"]) == (1, 1)
    assert (rows["2"]["hits"], rows["2"]["count"]) == (0, 1)
    assert (rows["all"]["hits"], rows["all"]["count"]) == (3, 5)
    assert rows["all"]["interval"] == measures.wilson(3, 5)


def test_clip_does_not_depend_on_place_level_or_padding(classifier, generator):
    wave = torch.randn(2500, generator=generator)
    padded = torch.cat([torch.zeros(9000), 0.01 * wave, torch.zeros(123)])
    assert torch.allclose(classifier.clip(padded), classifier.clip(wave), atol=1e-5)
    assert classifier.clip(wave).shape == (8000,)
    assert classifier.clip(wave).square().mean() == pytest.approx(1, rel=1e-4)


def test_clip_keeps_the_second_around_the_energy(classifier):
    wave = torch.zeros(30000)
    wave[20000] = 1.0
    assert classifier.clip(wave)[4000] > 0


def test_clip_of_silence_is_silence(classifier):
    assert not classifier.clip(torch.zeros(50)).any()


def test_read_mixes_and_resamples(classifier, tmp_path):
    wave = np.stack([np.full(1600, 0.5), np.full(1600, 0.1)], 1)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    read = classifier.read(tmp_path / "a.wav")
    assert read.shape == (800,)
    assert read[400] == pytest.approx(0.3, abs=1e-3)


def test_read_refuses_what_is_no_audio(classifier, tmp_path):
    (tmp_path / "a.wav").write_text("no")
    with pytest.raises(SystemExit, match=r"a\.wav cannot be read as audio"):
        classifier.read(tmp_path / "a.wav")


def test_read_refuses_samples_that_are_not_finite(classifier, tmp_path):
    path = write(tmp_path, "a.wav", torch.tensor([0.0, math.nan]))
    with pytest.raises(SystemExit, match="not finite"):
        classifier.read(path)


def test_data_without_digits_is_refused(classifier, tmp_path):
    with pytest.raises(SystemExit, match="check --data"):
        classifier.labelled(tmp_path)


def test_disturbance_keeps_level_and_shape_and_obeys_its_generator(classifier):
    clips = torch.randn(8, 8000)
    first, second, third = (
        classifier.disturb(clips, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first.shape == clips.shape
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert (first.square().mean(1).log10().abs() < 0.55).all()


def test_mask_hides_at_most_eight_bands_and_twelve_frames(classifier, generator):
    spectrogram = torch.randn(40, 64, 101, generator=generator)
    changed = classifier.mask(spectrogram, generator) != spectrogram
    assert 0 < changed.all(2).sum(1).max() <= 8
    assert 0 < changed.all(1).sum(1).max() <= 12


def test_training_repeats_and_saved_weights_come_back(classifier, tmp_path, generator):
    from safetensors.torch import save_file

    clips, digits = torch.randn(20, 8000, generator=generator), torch.arange(20) % 10
    ears = [classifier.train(clips, digits, epochs=1, seed=3) for _ in range(2)]
    save_file(ears[0].state_dict(), tmp_path / "ear.safetensors")
    heard = [
        classifier.listen(ear, clips)[2]
        for ear in (*ears, classifier.load(tmp_path / "ear.safetensors"))
    ]
    assert torch.equal(heard[0], heard[1])
    assert torch.equal(heard[0], heard[2])


def test_items_of_a_run_come_from_its_manifest(judge, tmp_path):
    rows = [{"file": "audio/x.wav", "label": "7"}, {"file": "y.wav", "label": "0"}]
    (tmp_path / "run.json").write_text(json.dumps({"items": rows}))
    assert judge.items([tmp_path]) == [(tmp_path / "audio/x.wav", 7), (tmp_path / "y.wav", 0)]


def test_items_without_a_manifest_come_from_the_names(judge, tmp_path):
    files = [write(tmp_path, f"{name}.wav", torch.zeros(9)) for name in ("00-4", "01-9")]
    assert judge.items([tmp_path]) == judge.items(files) == [(files[0], 4), (files[1], 9)]


@pytest.mark.parametrize("name", ["00-dog.wav", "speech.wav"])
def test_items_that_are_no_digits_are_refused(judge, tmp_path, name):
    with pytest.raises(SystemExit, match="not a digit 0 to 9"):
        judge.items([write(tmp_path, name, torch.zeros(9))])


def test_nothing_to_judge_is_refused(judge, tmp_path):
    with pytest.raises(SystemExit, match="nothing to judge"):
        judge.items([tmp_path])


@pytest.fixture(scope="module")
def judged(classifier, judge, corpus):
    """Judge copies of the first training item of each digit, and fresh noise."""
    torch.manual_seed(0)
    ear = classifier.Ear().eval()
    copied = torch.stack(
        [
            classifier.clip(0.3 * classifier.read(corpus / "train" / f"{digit}_noise_0.wav"))
            for digit in range(10)
        ]
    )
    fresh = torch.stack([classifier.clip(torch.randn(3000)) for _ in range(10)])
    digits = torch.arange(10)
    return [judge.judge(ear, clips, digits, corpus) for clips in (copied, fresh)]


def test_copied_recordings_are_found_in_both_spaces(judge, judged):
    for check in judged[0]["copies"].values():
        assert check["copied"] == list(range(10))
        assert check["nearest"] == [f"{digit}_noise_0" for digit in range(10)]
    assert "SUSPECTED in log-mel (dB) and features" in judge.verdict(judged[0])


def test_fresh_sounds_are_not_called_copies(judge, judged):
    report = copy.deepcopy(judged[1])
    for check in report["copies"].values():
        assert check["copied"] == []
        check["suspect"] = False
    assert "No sign of copying" in judge.verdict(report)


def test_the_report_is_json_and_prints(judge, judged):
    report = json.loads(json.dumps(judged[0], allow_nan=True))
    page = io.StringIO()
    judge.show(report, Console(file=page, width=160))
    printed = page.getvalue()
    assert f"{report['accuracy']['all']['hits']} of 10 generated digits" in printed
    assert "PyTorch" in printed


def test_the_yardstick_draws_as_many_of_each_digit_as_were_generated(judge, judged):
    assert judged[0]["drawn"] == judged[0]["count"] == 10


def test_judging_from_the_command_line_writes_json(judge, corpus, tmp_path, monkeypatch, capsys):
    runs = tmp_path / "run"
    for digit in range(10):
        write(runs, f"{digit:02d}-{digit}.wav", torch.randn(4000))
    out = tmp_path / "judged.json"
    monkeypatch.setattr(
        "sys.argv", ["judge.py", str(runs), "--data", str(corpus), "--json", str(out)]
    )
    judge.main()
    assert "Heard as what was asked for" in capsys.readouterr().out
    assert json.loads(out.read_text())["files"][9].endswith("09-9.wav")


def test_the_comparison_is_drawn_and_captioned(corpus, tmp_path, monkeypatch, capsys):
    compare = importlib.import_module("compare")
    for digit in (3, 3, 8):
        write(tmp_path / "run", f"{digit:02d}-{digit}.wav", torch.randn(4000))
    out = tmp_path / "digits.png"
    monkeypatch.setattr(
        "sys.argv",
        ["compare.py", f"edm={tmp_path / 'run'}", "--data", str(corpus), "--out", str(out)],
    )
    compare.main()
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "Rows: real (test set), edm." in capsys.readouterr().out


def test_the_comparison_asks_for_titles(corpus, monkeypatch):
    compare = importlib.import_module("compare")
    monkeypatch.setattr("sys.argv", ["compare.py", "runs/EDM", "--data", str(corpus)])
    with pytest.raises(SystemExit, match="is not TITLE=FOLDER"):
        compare.main()


def test_the_codec_keeps_a_tone():
    ceiling = importlib.import_module("ceiling")
    wave = torch.sin(torch.arange(4000) * 0.3)
    decoded = ceiling.round_trip({}, wave[None])
    kept = ceiling.error(wave[None], decoded)
    assert kept < 1.2
    assert ceiling.error(wave[None], 2 * wave[None]) > kept
    assert ceiling.error(wave[None], wave[None]) == 0


@pytest.mark.skipif(not DATA.is_dir(), reason="the digit recordings are not beside the repository")
def test_the_committed_classifier_hears_real_digits(classifier):
    clips, digits, _ = classifier.labelled(DATA / "test")
    heard = classifier.listen(classifier.load(), clips)[2].argmax(1)
    assert (heard == digits).double().mean() >= 0.97
