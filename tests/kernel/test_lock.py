from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result

from kernel import provenance
from kernel.errors import InputError, PluginError, UsageError
from kernel.lock import Lock, differences, lock_path, read_lock
from kernel.registry import Registry
from kernel.repeat import RUN, TRAINING, Record, read_record, repeat


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    anew()


def anew() -> None:
    """Forget what provenance remembers, as a new process would."""
    for cached in ("_distribution", "_installed_hash", "_sources_hash"):
        getattr(provenance, cached).cache_clear()


def plugin(spelling: str = "solver.a@lab-b", **changes: Any) -> dict[str, Any]:
    name, _, distribution = spelling.partition("@")
    kind, _, name = name.partition(".")
    given = {"kind": kind, "name": name, "distribution": distribution, "version": "1.0"}
    return {**given, "hash": "sha256:11", "options": {}, **changes}


def record(*plugins: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a record, of one solver unless plugins are given."""
    return {
        "kernel": {"version": "0.1", "hash": "sha256:00"},
        "versions": {"kernel-audio": "0.1", "python": "3.11.7", "torch": "2.11"},
        "plugins": list(plugins) or [plugin()],
        "model": {"name": "m", "distribution": "lab-b", "version": "1.0", "hash": "sha256:22"},
        "inputs": {"inputs.0": {"path": "/home/me/song.wav", "hash": "sha256:33"}},
        "device": {"device": "cpu", "precision": "float32"},
        "config": {
            "steps": None,
            "seed": 3,
            "count": 2,
            "out": "runs",
            "device": "auto",
            "inputs": ["song.wav"],
        },
        "sampling": {"steps": 9},
        "requirements": ["torch==2.11"],
        **changes,
    }


def lock(given: dict[str, Any]) -> Lock:
    return Lock.of(Record.model_validate(given))


def rows(now: dict[str, Any], before: dict[str, Any] | None = None) -> list[tuple[str, ...]]:
    found = differences(lock(before or record()), lock(now))
    return [(each.what, each.recorded, each.now) for each in found]


def test_nothing_differs_from_itself() -> None:
    assert rows(record()) == []


def test_what_does_not_decide_the_result_may_differ() -> None:
    assert rows(record(config=record()["config"] | {"out": "/x", "device": "cpu"})) == []
    assert rows(record(plugin(editable=True, preferred=True), created="2030-01-01")) == []
    moved = {"inputs.0": {"path": "/tmp/other.wav", "hash": "sha256:33"}}
    assert rows(record(inputs=moved)) == []


MODEL = record()["model"]
CHANGES: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "version": (
        record(plugin(version="1.1")),
        ("version of solver.a@lab-b", "1.0", "1.1"),
    ),
    "hash": (
        record(plugin(hash="sha256:0123456789abcdef")),
        ("hash of solver.a@lab-b", "sha256:11", "sha256:0123456789ab"),
    ),
    "no hash": (record(plugin(hash=None)), ("hash of solver.a@lab-b", "sha256:11", "none")),
    "option": (
        record(plugin(options={"order": 2})),
        ("option order of solver.a@lab-b", "none", "2"),
    ),
    "added": (
        record(plugin(), plugin("guidance.g@lab-c")),
        ("guidance.g@lab-c", "absent", "present"),
    ),
    "kernel": (
        record(kernel={"version": "0.1", "hash": "sha256:01"}),
        ("hash of kernel-audio", "sha256:00", "sha256:01"),
    ),
    "model": (
        record(model=MODEL | {"hash": "sha256:23"}),
        ("hash of model.m@lab-b", "sha256:22", "sha256:23"),
    ),
    "python": (
        record(versions={"python": "3.12.0", "torch": "2.11"}),
        ("version of python", "3.11.7", "3.12.0"),
    ),
    "library": (record(versions={"python": "3.11.7"}), ("torch", "present", "absent")),
    "precision": (
        record(device={"precision": "bfloat16"}),
        ("precision of the network", "float32", "bfloat16"),
    ),
    "input": (
        record(inputs={"inputs.0": {"path": "/home/me/song.wav", "hash": None}}),
        ("content of inputs.0", "sha256:33", "none"),
    ),
    "setting": (record(config=record()["config"] | {"seed": 4}), ("seed", "3", "4")),
    "steps": (record(sampling={"steps": 8}), ("steps", "9", "8")),
}


@pytest.mark.parametrize("case", CHANGES)
def test_everything_that_decides_the_result_is_compared(case: str) -> None:
    now, row = CHANGES[case]
    assert rows(now) == [row]
    what, before, after = row
    assert rows(record(), now) == [(what, after, before)]


def test_what_components_share_is_said_once_and_names_all_of_them() -> None:
    names = ("objective.a@lab-b", "solver.a@lab-b")
    before, now = (record(*(plugin(name, hash=digest) for name in names)) for digest in "xy")
    assert rows(now, before) == [("hash of objective.a@lab-b, solver.a@lab-b", "x", "y")]


def test_the_order_of_guidances_does_not_count() -> None:
    names = ("guidance.a@lab-b", "guidance.b@lab-b")
    before, now = (record(*map(plugin, order)) for order in (names, names[::-1]))
    assert rows(now, before) == []


def test_choices_are_told_from_what_changed_unasked() -> None:
    now = record(
        plugin(version="1.1", options={"order": 2}),
        plugin("guidance.g@lab-c"),
        sampling={"steps": 8},
    )
    found = differences(lock(record()), lock(now))
    assert [each.what for each in found if not each.chosen] == ["version of solver.a@lab-b"]
    assert len(found) == 4


def test_an_option_that_is_a_path_counts_by_its_content() -> None:
    def at(path: str, digest: str) -> dict[str, Any]:
        task = plugin("task.t@lab-b", options={"path": path, "seconds": 1})
        return record(task, inputs={"task.t.path": {"path": path, "hash": digest}})

    assert rows(at("/there", "x"), at("/here", "x")) == []
    assert rows(at("/here", "y"), at("/here", "x")) == [("content of task.t.path", "x", "y")]


def test_a_lock_has_no_path_of_the_machine() -> None:
    folder = {"name": "/home/me/trainings/x/model", "hash": "sha256:22"}
    task = plugin("task.t@lab-b", options={"path": "/home/me/data"})
    inputs = {name: {"path": "/home/me/x", "hash": "x"} for name in ("model", "task.t.path")}
    found = lock(record(task, model=folder, inputs=inputs))
    assert "/home" not in found.model_dump_json()


def test_a_configuration_has_its_lock_beside_it() -> None:
    assert lock_path(Path("there/night.toml")) == Path("there/night.lock")
    with pytest.raises(UsageError, match="night.lock is a lock; name its conf"):
        lock_path(Path("night.lock"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it does not exist"),
        ("{", "Expecting property name"),
        ("{}", "kernel: Field required"),
        (b"\xff", "can't decode byte"),
    ],
)
def test_a_lock_that_cannot_be_read_says_how_to_make_one(
    tmp_path: Path, content: str | bytes | None, reason: str
) -> None:
    if content is not None:
        text = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "night.lock").write_bytes(text)
    with pytest.raises(InputError, match=rf"night.lock cannot be read \(.*{reason}.*\); do that$"):
        read_lock(tmp_path / "night.toml", "do that")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"holds no run.json or train.json; name"),
        ("[]", r"run.json is damaged \(Input should be a valid dict"),
        ("{", r"run.json is damaged \(Expecting property name"),
        (
            json.dumps(record(plugin(version=None))),
            r"is damaged \(plugins.0.version: Input should be a valid str",
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, content: str | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        read_record(tmp_path, RUN, TRAINING)


@pytest.fixture
def lab(site: Any) -> Registry:
    entries = {
        f"{kind}.{name}": "lab_code" for kind in ("solver", "guidance", "model") for name in "ab"
    }
    site.install("lab-b", entries)
    site.install("lab-c", {"solver.a": "lab_code", "guidance.a": "lab_code"})
    return Registry.scan(path=site.path)


def recorded(given: dict[str, Any]) -> Record:
    return Record.model_validate(given | {"folder": "runs/x"})


def again(
    given: dict[str, Any], registry: Registry, *plugins: str, model: str | None = None
) -> dict[str, Any]:
    return repeat(recorded(given | {"model": MODEL | {"name": "a"}}), registry, plugins, model)


def test_a_repetition_names_everything_without_doubt(lab: Registry) -> None:
    task = plugin("guidance.a@lab-b", options={"table": "t.csv", "scale": 2})
    given = record(plugin(options={"order": 2}), task)
    given["inputs"]["guidance.a.table"] = {"path": "/home/me/t.csv", "hash": "x"}
    given["inputs"] |= {f"inputs.{n}": {"path": f"/{n}.wav", "hash": "x"} for n in range(1, 11)}
    assert again(given, lab) == {
        "plugins": ("solver.a@lab-b", "guidance.a@lab-b"),
        "options": {"solver": {"order": 2}, "guidance": {"table": "/home/me/t.csv", "scale": 2}},
        "model": "a@lab-b",
        "inputs": ["/home/me/song.wav", *(f"/{n}.wav" for n in range(1, 11))],
        "steps": 9,
        "seed": 3,
        "count": 2,
        "device": "auto",
    }


def test_a_model_in_a_folder_is_found_where_it_was(lab: Registry) -> None:
    given = record(
        model={"name": "x/model", "hash": "x"},
        inputs={"model": {"path": "/home/me/x/model", "hash": "x"}},
    )
    settings = repeat(recorded(given), lab, (), None)
    assert (settings["model"], settings["inputs"]) == ("/home/me/x/model", [])
    del given["inputs"]["model"]
    settings = repeat(recorded(given), lab, (), None)
    assert settings["model"] == "x/model"


def test_a_plugin_that_is_named_takes_the_place_of_the_recorded_one(lab: Registry) -> None:
    settings = again(record(plugin(options={"order": 2})), lab, "solver.b")
    assert settings["plugins"] == ("solver.b",)
    assert settings["options"] == {}


def test_a_guidance_that_is_named_is_added(lab: Registry) -> None:
    given = record(plugin("guidance.a@lab-b", options={"scale": 2}))
    settings = again(given, lab, "guidance.b")
    assert settings["plugins"] == ("guidance.a@lab-b", "guidance.b")
    assert settings["options"] == {"guidance.a": {"scale": 2}}
    replaced = again(given, lab, "guidance.a@lab-c")
    assert replaced["options"] == {}


def test_what_is_gone_is_named_with_a_way_out(lab: Registry) -> None:
    gone = record(plugin("solver.a@lab-d"))
    sentence = (
        "runs/x was made with solver.a of lab-d 1.0, which is not installed; `kernel plugins "
        "--requirements --from runs/x` says what to install"
    )
    with pytest.raises(PluginError, match=sentence):
        again(gone, lab)
    assert again(gone, lab, "solver.b")["plugins"] == ("solver.b",)
    given = recorded(record(model=MODEL | {"name": "gone"}))
    with pytest.raises(PluginError, match="made with model.gone of lab-b 1.0, which is not inst"):
        repeat(given, lab, (), None)
    assert repeat(given, lab, (), "b")["model"] == "b"


SOLVER = '''
    from itertools import pairwise
    from kernel import Solver, Step, hookimpl

    class Lab(Solver):
        """Jump to x0."""

        @property
        def order(self):
            return 1

        def steps(self, denoise, x, sigmas, noise):
            for index, (sigma, following) in enumerate(pairwise(sigmas)):
                x0 = denoise(x, sigma)
                x = yield Step(index, following, x0.lerp(x, following / sigma), x0)

    @hookimpl
    def solver():
        return Lab
'''
TASK = '''
    from pathlib import Path
    from kernel import AudioSpec, Request, Task, Window, hookimpl

    class Lab(Task):
        """Make as many sounds as there are files."""

        table: Path | None = None
        @property
        def audio(self):
            return AudioSpec(8000)

        @property
        def samples(self):
            return 8000

        def requests(self, inputs, count):
            return [Request(f"{path.stem}", Window(8000)) for path in inputs]

    @hookimpl
    def task():
        return Lab
'''


@pytest.fixture
def night(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command beside a configuration with a plugin of a lab."""
    monkeypatch.chdir(tmp_path)
    Path("night.toml").write_text(
        'plugins = ["edm", "solver.lab", "task.lab"]\nmodel = "digits-edm"\ninputs = ["a.wav"]\n'
        'steps = 1\ndevice = "cpu"\n[options.task]\ntable = "table.csv"\n'
    )
    Path("table.csv").write_text("1")
    soundfile.write("a.wav", np.zeros(9), 8000)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Result:
        anew()
        result: Result = site.invoke(*arguments)
        return result

    return run


def install(site: Any, editable: bool = False) -> None:
    files = {"lab_solver.py": SOLVER, "lab_task.py": TASK, "lab_solver_data.bin": b"1"}
    site.install(
        "lab-b",
        {"solver.lab": "lab_solver", "task.lab": "lab_task"},
        files,
        editable=editable,
    )


@pytest.mark.parametrize("editable", [False, True])
def test_one_byte_in_a_plugin_is_refused_by_name(
    site: Any, night: Callable[..., Result], editable: bool
) -> None:
    install(site, editable)
    assert night("lock", "night.toml").exit_code == 0
    assert night("lock", "night.toml", "--check").stdout == "night.lock is up to date\n"
    done = night("run", "-c", "night.toml", "--locked", "--name", "as-locked")
    assert done.exit_code == 0, done.stderr
    source = site.folder / "lab_solver.py"
    source.write_text(source.read_text().replace("Jump", "jump"))
    for arguments in (
        ("run", "-c", "night.toml", "--locked", "--name", "x"),
        ("run", "--from", "runs/as-locked", "--locked", "--name", "x"),
        ("lock", "night.toml", "--check"),
    ):
        done = night(*arguments)
        assert done.exit_code == 9, done.stderr
        what, *values, sentence = done.stderr.splitlines()
        # The hash of an editable installation is that of the package, else of all that came along.
        assert what == "hash of solver.lab@lab-b" + ("" if editable else ", task.lab@lab-b")
        assert [line.split()[0] for line in values] == ["recorded", "now"]
        assert sentence.startswith("kernel: not everything is as in ") and what in sentence
    assert not Path("runs/x").exists()
    noted = night("run", "--from", "runs/as-locked", "--name", "noted")
    assert noted.exit_code == 0, noted.stderr
    (warning,) = json.loads(Path("runs/noted/run.json").read_text())["warnings"]
    assert warning.startswith(f"{what} was sha256:")
    assert warning in noted.stderr


def test_another_version_is_noted_or_refused(site: Any, night: Callable[..., Result]) -> None:
    install(site)
    assert night("run", "-c", "night.toml", "--name", "old").exit_code == 0
    info = site.folder / "lab_b-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-b\nVersion: 1.1\n")
    info.rename(site.folder / "lab_b-1.1.dist-info")
    record_file = site.folder / "lab_b-1.1.dist-info" / "RECORD"
    record_file.write_text(record_file.read_text().replace("lab_b-1.0", "lab_b-1.1"))
    done = night("run", "--from", "runs/old", "--name", "new")
    assert "version of solver.lab@lab-b, task.lab@lab-b was 1.0, is 1.1" in done.stderr
    assert night("run", "--from", "runs/old", "--locked", "--name", "no").exit_code == 9


def test_the_files_that_are_read_are_part_of_the_record(
    site: Any, night: Callable[..., Result]
) -> None:
    install(site)
    assert night("run", "-c", "night.toml", "--name", "one").exit_code == 0
    inputs = json.loads(Path("runs/one/run.json").read_text())["inputs"]
    assert {name: each["path"] for name, each in inputs.items()} == {
        "inputs.0": str(Path("a.wav").absolute()),
        "task.lab.table": str(Path("table.csv").absolute()),
    }
    Path("table.csv").write_text("2")
    soundfile.write("a.wav", np.zeros(8), 8000)
    done = night("run", "--from", "runs/one", "--locked")
    assert done.exit_code == 9
    assert (
        "not everything is as in runs/one (content of inputs.0; content of task.lab.table); leave"
        in done.stderr
    )


def test_what_a_distribution_that_nobody_names_does_is_nobodys_business(
    site: Any, night: Callable[..., Result]
) -> None:
    install(site)
    assert night("lock", "night.toml").exit_code == 0
    site.install("lab-z", {"solver.z": "lab_z", "guidance.z": "lab_z"}, {"lab_z.py": "1 / 0"})
    assert night("run", "-c", "night.toml", "--locked").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["run", "--locked"], 2, "--locked needs something to compare with: --from DIR, or -c"),
        (["run", "-c", "night.toml", "--locked"], 4, "night.lock cannot be read (it does not ex"),
        (["run", "--from", "gone"], 4, "gone holds no run.json; name"),
        (["run", "--from", "runs/one", "-c", "night.toml"], 2, "--from takes every setting from"),
        (["lock", "gone.toml"], 4, "configuration gone.toml cannot be read"),
        (["lock", "night.toml", "--train"], 2, "setting 'inputs' does not exist"),
        (["plugins", "--from", "runs/one"], 2, "says whose --requirements to print"),
        (["plugins", "lab", "--requirements"], 2, "are those of all plugins; leave lab out"),
    ],
)
def test_a_mistake_is_one_sentence(
    site: Any, night: Callable[..., Result], arguments: list[str], code: int, sentence: str
) -> None:
    install(site)
    Path("runs/one").mkdir(parents=True)
    Path("runs/one/run.json").write_text(json.dumps(record()))
    done = night(*arguments)
    assert done.exit_code == code, done.stderr
    assert done.stderr.splitlines()[-1].startswith("kernel: ") and sentence in done.stderr


def test_the_requirements_of_everything_and_of_a_run(
    site: Any, night: Callable[..., Result]
) -> None:
    install(site)
    site.install("lab-z", {"solver.z": "lab_z"})
    assert night("run", "-c", "night.toml", "--name", "one").exit_code == 0
    everything = night("plugins", "--requirements").stdout.splitlines()
    used = night("plugins", "--requirements", "--from", "runs/one").stdout.splitlines()
    assert {"lab-b==1.0", "lab-z==1.0"} <= set(everything)
    assert "lab-b==1.0" in used and "lab-z==1.0" not in used
    assert set(used) < set(everything)
    assert json.loads(night("plugins", "--requirements", "--json").stdout) == everything
