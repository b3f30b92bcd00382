from __future__ import annotations

import copyreg
import io
import json
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kernel_audio_import import groups, opened, strip_prefix, subtree
from kernel_audio_import._write import finished
from torch import Tensor, nn

from kernel import ForeignTensor, InputError, UsageError

FORMS = ["zip", "legacy", *range(pickle.HIGHEST_PROTOCOL + 1)]


def save(value: Any, path: Path, form: str | int) -> Path:
    """Write what PyTorch or `pickle` would write."""
    if isinstance(form, int):
        path.write_bytes(pickle.dumps(value, form))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    return path


def wrap(content: bytes, path: Path, form: str) -> Path:
    """Write the file in which `content` is the pickle of the object that was saved."""
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", "3\n")
    elif form == "legacy":
        head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(each, 2) for each in head) + content + b"]\x94.")
    else:
        path.write_bytes(content)
    return path


def load(tensors: Mapping[str, ForeignTensor], half: bool = False) -> dict[str, Tensor]:
    return finished({name: each.load() for name, each in tensors.items()}, half)


def read(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    with opened(path) as checkpoint:
        return load(checkpoint.tensors), checkpoint.unread


def fails(path: Path, says: str) -> None:
    with pytest.raises(InputError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(f"{path} cannot be read as a checkpoint (")
    assert says in message
    assert "\n" not in message


class Tagged(Tensor):
    """A type of tensor that only some project knows."""


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    base = torch.arange(20.0).view(4, 5)
    tied = torch.ones(3)
    kinds = {
        str(dtype).removeprefix("torch."): torch.arange(4).to(dtype)
        for dtype in (
            *(torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.bool),
            *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
            *(torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2),
        )
    }
    return kinds | {
        "turned": base.t(),
        "cut out": base[1:3, ::2],
        "spread": torch.ones(1).expand(7),
        "parameter": nn.Parameter(torch.ones(2)),
        "empty": torch.empty(0, 3),
        "one value": torch.tensor(3.5),
        "tied": tied,
        "tied too": tied,
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_back_every_tensor(
    tmp_path: Path, tensors: dict[str, Tensor], form: str | int
) -> None:
    found, left_out = read(save(tensors, tmp_path / "x", form))
    assert left_out == ()
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].is_contiguous()
        assert torch.equal(found[name], tensor.detach()), name


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_numpy_become_tensors(tmp_path: Path, form: str | int) -> None:
    arrays = {
        "c": np.arange(6.0).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        "permuted": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(1, 2, 0),
        "flags": np.array([True, False]),
        "complex": np.array([1 + 2j], np.complex64),
        "none": np.empty((0, 2)),
    }
    others = {"scalar": np.float32(3), "text": np.array(["a"]), "objects": np.array([None])}
    found, left_out = read(save(arrays | others, tmp_path / "x", form))
    assert left_out == ()
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert torch.equal(found[name], torch.tensor(array)), name


def test_a_view_in_a_legacy_storage_is_cut_out(tmp_path: Path) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, given: object) -> object:
            if given == "view":
                return ("storage", torch.FloatStorage, "7", "cpu", 6, ("8", 2, 3))
            return None

    body = io.BytesIO()
    pickler = Pickler(body, 2)
    pickler.dispatch_table = copyreg.dispatch_table | {
        Tensor: lambda _: (torch._utils._rebuild_tensor_v2, ("view", 1, (2,), (1,), False, {}))
    }
    pickler.dump([torch.ones(())])
    path = wrap(body.getvalue(), tmp_path / "x", "legacy")
    content = path.read_bytes().removesuffix(b"]\x94.") + pickle.dumps(["7"], 2)
    path.write_bytes(content + struct.pack("<q6f", 6, *range(6)))
    assert read(path)[0]["0"].tolist() == [3.0, 4.0]


def test_nested_mappings_and_lists_get_dotted_names(tmp_path: Path) -> None:
    one = torch.ones(1)
    value = {
        "state_dict": OrderedDict(weight=one),
        "averages": [one, {"deep": (one,)}],
        3: {True: one, None: one},
        "epoch": 7,
        ("a", "key"): one,
    }
    value["state_dict"]._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    names = list(read(save(value, tmp_path / "x", "zip"))[0])
    assert names == [
        "state_dict.weight",
        "averages.0",
        "averages.1.deep.0",
        "3.True",
        "3.None",
        "<tuple>",
    ]


def test_a_tensor_alone_is_called_tensor(tmp_path: Path) -> None:
    assert read(save(torch.ones(2), tmp_path / "x", "zip"))[0]["tensor"].tolist() == [1, 1]


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    value = {"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}
    fails(save(value, tmp_path / "x", "zip"), "two tensors called 'a.b'")


@pytest.mark.parametrize("form", ["zip", "legacy", 2])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_whole_network_gives_its_state_dict_and_leaves_its_classes(
    tmp_path: Path, form: str | int
) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network.register_buffer("fixed", torch.ones(1), persistent=False)
    found, left_out = read(save({"ema": network}, tmp_path / "x", form))
    expected = {f"ema.{name}": each for name, each in network.state_dict().items()}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], each) for name, each in expected.items())
    assert "torch.nn.modules.linear.Linear" in left_out


def test_a_tensor_of_a_foreign_type_is_left_out(tmp_path: Path) -> None:
    tagged = torch.ones(2).as_subclass(Tagged)
    found, left_out = read(save({"a": torch.ones(1), "b": tagged}, tmp_path / "x", "zip"))
    assert list(found) == ["a"]
    assert left_out == (f"{__name__}.Tagged",)


def test_a_sparse_tensor_is_left_out(tmp_path: Path) -> None:
    value = {"a": torch.ones(1), "b": torch.eye(2).to_sparse()}
    found, left_out = read(save(value, tmp_path / "x", "zip"))
    assert list(found) == ["a"]
    assert "torch._utils._rebuild_sparse_tensor" in left_out


def test_a_parameter_with_attributes_is_read(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = "an attribute"  # type: ignore[attr-defined]
    found, left_out = read(save({"w": parameter}, tmp_path / "x", "zip"))
    assert (found["w"].tolist(), left_out) == ([1, 1], ())


@pytest.fixture
def lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkpoint as Lightning writes it, by a project that is not here any more."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "their_project.py").write_text(
        "class Config:\n    def __init__(self): self.width = 8\nclass Attributes(dict): pass\n"
    )
    monkeypatch.syspath_prepend(str(project))
    import their_project  # type: ignore[import-not-found]

    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 9,
        "global_step": 1000,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{key}": each for key, each in network.state_dict().items()},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"Checkpoint{'monitor': None}": {"best": Path("/a/b.ckpt")}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": their_project.Attributes(config=their_project.Config()),
    }
    path = save(checkpoint, tmp_path / "epoch=9.ckpt", "zip")
    monkeypatch.undo()
    del sys.modules["their_project"]
    return path


def test_a_checkpoint_of_lightning_is_read_without_its_project(lightning: Path) -> None:
    with opened(lightning) as checkpoint:
        assert checkpoint.unread == (
            "pathlib.PosixPath",
            "their_project.Attributes",
            "their_project.Config",
        )
        found = load(strip_prefix(subtree(checkpoint.tensors, "state_dict"), "model."))
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    module.load_state_dict(found)
    assert "their_project" not in sys.modules
    with opened(lightning) as checkpoint:
        below = groups(checkpoint.tensors)
    assert (below["state_dict"], below["optimizer_states.0.state"]) == (7, 12)


def test_only_what_is_picked_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save({"a": {"w": torch.ones(2)}, "b": {"w": torch.ones(1000)}}, tmp_path / "x", "zip")
    read_record, sizes = zipfile.ZipFile.read, []

    def watched(self: zipfile.ZipFile, name: str) -> bytes:
        content = read_record(self, name)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(zipfile.ZipFile, "read", watched)
    with opened(path) as checkpoint:
        load(subtree(checkpoint.tensors, "a"))
    assert max(sizes) < 1000


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("state_dcit", "nothing below 'state_dcit' holds a tensor; did you mean 'state_dict'"),
        ("qqqq", "nothing below 'qqqq' holds a tensor; --list shows the names"),
    ],
)
def test_a_group_that_is_not_there(lightning: Path, key: str, says: str) -> None:
    with opened(lightning) as checkpoint, pytest.raises(UsageError) as raised:
        subtree(checkpoint.tensors, key)
    assert str(raised.value).startswith(says)


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("modle.", "no tensor's name begins with 'modle.'; did you mean 'model'?"),
        ("model.", "without 'model.' the tensor 'model.w' would have the name of a second one"),
        ("w", "without 'w' the tensor 'w' would have no name"),
    ],
)
def test_a_prefix_that_cannot_be_stripped(tmp_path: Path, prefix: str, says: str) -> None:
    value = {"w": torch.ones(1), "model.w": torch.ones(1)}
    path = save(value, tmp_path / "x", "zip")
    with opened(path) as checkpoint, pytest.raises(UsageError) as raised:
        strip_prefix(checkpoint.tensors, prefix)
    assert str(raised.value).startswith(says)


def test_halves(tmp_path: Path) -> None:
    value = {"w": torch.tensor([1.5, float("inf")]), "n": torch.ones(2, dtype=torch.int64)}
    with opened(save(value, tmp_path / "x", "zip")) as checkpoint:
        found = load(checkpoint.tensors, half=True)
    assert (found["w"].dtype, found["n"].dtype) == (torch.float16, torch.int64)
    path = save({"w": torch.tensor([1e5])}, tmp_path / "y", "zip")
    with opened(path) as checkpoint, pytest.raises(InputError) as raised:
        load(checkpoint.tensors, half=True)
    assert "'w' has values beyond 65504" in str(raised.value)


def test_what_safetensors_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'w' is complex128, which safetensors cannot hold"):
        read(save({"w": torch.ones(1, dtype=torch.complex128)}, tmp_path / "x", "zip"))


# What a hostile file may do


class Evil:
    """Pickled as a call; every protocol writes it in its own way."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return (b"X" if isinstance(value, str) else b"B") + struct.pack("<I", len(raw)) + raw


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"


def evil_file() -> bytes:
    """Return the body of a legacy file within which the marker is made."""
    return b"".join(pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {}))


def chain(command: str) -> bytes:
    """Import a module, get a function of it, call it with a part of its arguments."""
    module = name("importlib", "import_module") + text("os") + b"\x85R"
    system = name("operator", "attrgetter") + text("system") + b"\x85R" + module + b"\x85R"
    return name("functools", "partial") + system + text(command) + b"\x86R" + b")R"


ATTACKS: dict[str, Callable[[str], bytes]] = {
    "call": lambda command: b"cposix\nsystem\n" + text(command) + b"\x85R",
    "eval": lambda command: (
        name("builtins", "eval") + text(f"__import__('os').system({command!r})") + b"\x85R"
    ),
    "stack global with dots": lambda command: (
        name("posixpath", "os.system") + text(command) + b"\x85R"
    ),
    "chain of calls": chain,
    "instance": lambda command: b"(" + text(command) + b"ios\nsystem\n",
    "object": lambda command: b"(" + name("os", "system") + text(command) + b"o",
    "extension": lambda command: b"\x82\xf0" + text(command) + b"\x85R",
    "pickle in a pickle": lambda command: (
        name("_pickle", "loads") + text(b"cposix\nsystem\n" + text(command) + b"\x85R.") + b"\x85R"
    ),
    "file in a pickle": lambda command: (
        name("torch.storage", "_load_from_bytes")
        + text(evil_file() + b"cposix\nsystem\n" + text(command) + b"\x85R." + b"]\x94.")
        + b"\x85R"
    ),
    "state of a class": lambda command: (
        name("their_evil", "Setter") + b")\x81" + text(command) + b"b"
    ),
    "import": lambda command: name("their_evil", "ready"),
}


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a file that code of the attacker would make, in a place where it could be run."""
    path = tmp_path / "marker"
    code = tmp_path / "code"
    code.mkdir()
    (code / "their_evil.py").write_text(
        "import os\n"
        "class Setter:\n"
        "    def __setstate__(self, state): os.system(state)\n"
        f"ready = open({str(path)!r}, 'w').close()\n"
    )
    monkeypatch.syspath_prepend(str(code))
    copyreg.add_extension("posix", "system", 0xF0)
    yield path
    copyreg.remove_extension("posix", "system", 0xF0)
    copyreg.clear_extension_cache()
    sys.modules.pop("their_evil", None)


def poisoned(attack: str, marker: Path) -> bytes:
    """Return a pickle of {"w": an array, "evil": the attack}."""
    array = pickle.dumps(np.ones(2), 4)
    body = array[array.index(b"\x8c") : -1]
    evil = ATTACKS[attack](f"touch {marker}")
    return b"\x80\x04}(" + text("w") + body + text("evil") + evil + b"u."


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attacks_are_real(marker: Path, attack: str) -> None:
    pickle.loads(poisoned(attack, marker))
    assert marker.exists()


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_comes_through(tmp_path: Path, marker: Path, attack: str, form: str) -> None:
    path = wrap(poisoned(attack, marker), tmp_path / "x", form)
    found, left_out = read(path)
    assert not marker.exists()
    assert "their_evil" not in sys.modules
    assert found["w"].tolist() == [1.0, 1.0]
    expected = {"extension": "copyreg extension.240", "eval": "builtins.eval"}
    assert left_out and expected.get(attack, left_out[0]) in left_out


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("function", [os.system, eval, torch.load, pickle.loads])
def test_what_a_pickler_writes_of_a_reduce_is_not_called(
    tmp_path: Path, form: str | int, function: Callable[..., Any]
) -> None:
    marker = tmp_path / "marker"
    value = {"w": torch.ones(1), "evil": Evil(function, f"touch {marker}")}
    found, left_out = read(save(value, tmp_path / "x", form))
    assert (list(found), len(left_out)) == (["w"], 1)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        name("torch._utils", "_rebuild_tensor_v2") + b"N}" + text("note") + b"K\x01s\x86b",
        name("collections", "OrderedDict") + b"}" + text("note") + b"K\x01sb",
        name("collections", "OrderedDict") + text("note") + b"K\x01s",
        name("torch", "Tensor") + b")R",
        text("a") + b")R",
    ],
    ids=["attribute of a function", "of a class", "item of a class", "class", "text"],
)
def test_what_may_be_named_cannot_be_changed_or_misused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="a value that (takes none|is not a (function|mapping))"):
        read(wrap(b"\x80\x04" + content + b".", tmp_path / "x", "pickle"))
    assert not hasattr(torch._utils._rebuild_tensor_v2, "note")
    assert not hasattr(OrderedDict, "note")


def test_the_environment_cannot_be_filled(tmp_path: Path) -> None:
    content = b"\x80\x04" + name("os", "environ") + text("KERNEL_EVIL") + text("1") + b"s."
    assert read(wrap(content, tmp_path / "x", "pickle")) == ({}, ("os.environ",))
    assert "KERNEL_EVIL" not in os.environ


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("given", [b"K\x01", b"(" + text("storage") + b"N\x8c\x01/K\x01K\x02t"])
def test_a_persistent_id_reaches_nothing(tmp_path: Path, form: str, given: bytes) -> None:
    fails(wrap(b"\x80\x04" + given + b"Q.", tmp_path / "x", form), "")


def test_a_storage_outside_of_the_archive_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\x00\x00\x80\x3f")
    storage = name("torch", "FloatStorage")
    given = b"(" + text("storage") + storage + text("../../secret") + text("cpu") + b"K\x01tQ."
    path = wrap(b"\x80\x04" + given, tmp_path / "x", "zip")
    fails(path, "There is no item named 'archive/data/../../secret' in the archive")


# Nonsense and damage


@pytest.mark.parametrize("form", ["zip", "legacy", 4])
def test_a_file_that_is_cut_short_is_told(tmp_path: Path, form: str | int) -> None:
    path = save({"w": torch.arange(100.0)}, tmp_path / "x", form)
    whole = path.read_bytes()
    for length in (5, 50, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:length])
        fails(path, "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"# Some text\n", "unknown"),
        (b"PK\x03\x04 and then nothing", "not a zip file"),
        (b"\x80\x04\x96" + b"\xff" * 8, ""),
    ],
    ids=["empty", "text", "no archive", "no length"],
)
def test_what_is_no_checkpoint_is_told(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x").write_bytes(content)
    fails(tmp_path / "x", says)


def test_a_path_that_holds_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="x does not exist; check the spelling"):
        read(tmp_path / "x")
    with pytest.raises(InputError, match="is a folder, not a checkpoint; name the file in it"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ({"a/data.pkl": b"N.", "a/constants.pkl": b"N."}, "is a TorchScript archive, which is a"),
        ({"a/readme": b""}, "an archive without a pickle"),
        ({"a/data.pkl": b"N.", "a/byteorder": b"big"}, "big-endian"),
        ({"a/data.pkl": b"N." + bytes(1_000_000)}, "unpacks to more than it holds"),
    ],
    ids=["TorchScript", "no pickle", "big-endian", "bomb"],
)
def test_archives_that_are_no_checkpoint_are_told(
    tmp_path: Path, records: dict[str, bytes], says: str
) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in records.items():
            archive.writestr(place, content)
    fails(tmp_path / "x", says)


def test_big_endian_arrays_are_told(tmp_path: Path) -> None:
    fails(save({"w": np.ones(2, ">f4")}, tmp_path / "x", 4), "big-endian")


def test_structures_without_end_are_told(tmp_path: Path) -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    fails(save(circle, tmp_path / "x", 4), "nested without end")
    many: list[Any] = [1]
    for _ in range(40):
        many = [many, many]
    fails(save(many, tmp_path / "y", 4), "nested without end")


def within(pickled: bytes, times: int) -> bytes:
    """Return a pickle that loads another one from the same bytes so many times."""
    load = name("torch.storage", "_load_from_bytes")
    again = (load + b"h\x00\x85R0") * times
    return b"\x80\x04" + b"B" + struct.pack("<i", len(pickled)) + pickled + b"q\x00" + again + b"N."


@pytest.mark.parametrize("times", [1, 2])
def test_pickles_within_pickles_are_bounded_in_depth(tmp_path: Path, times: int) -> None:
    pickled = b"N."
    for _ in range(30):
        pickled = within(pickled, times)
    fails(wrap(pickled, tmp_path / "x", "pickle"), "its pickles are nested more than 4 deep")


def test_pickles_within_pickles_are_bounded_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kernel_audio_import._machine._STEPS", 50_000)
    pickled = b"N."
    for _ in range(4):
        pickled = within(pickled, 200)
    fails(wrap(pickled, tmp_path / "x", "pickle"), "its pickle takes more than 50,000 steps")


def copies(content: bytes, module: str, function: str) -> bytes:
    """Return a pickle that keeps 100,000 copies of what `content` puts on the stack."""
    call = name(module, function) + b"q\x010](" + b"h\x01h\x00\x85R" * 100_000 + b"e."
    return b"\x80\x04" + content + b"q\x000" + call


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (copies(b"](" + b"N" * 10_000 + b"e", "builtins", "list"), "more than 5,000,000 steps"),
        (
            copies(b"X" + struct.pack("<i", 10_000) + b"a" * 10_000, "builtins", "bytes"),
            "copies far more",
        ),
    ],
    ids=["list", "text"],
)
def test_copies_of_copies_are_bounded(tmp_path: Path, content: bytes, says: str) -> None:
    fails(wrap(content, tmp_path / "x", "pickle"), says)


DEEP = b")" + b"\x85" * 200_000
"""A tuple in a tuple in a tuple: Python's own hash of it overflows the stack of the process."""


@pytest.mark.parametrize("content", [b"}%bNs", b"\x8f(%b\x90"], ids=["key", "member of a set"])
def test_nothing_that_is_deep_is_hashed(tmp_path: Path, content: bytes) -> None:
    path = wrap(b"\x80\x04" + content % DEEP + b"0N.", tmp_path / "x", "pickle")
    assert read(path) == ({}, ())


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_nothing_that_is_deep_names_a_storage(tmp_path: Path, form: str) -> None:
    given = b"(" + text("storage") + name("torch", "FloatStorage") + DEEP + b"NK\x01NtQ."
    fails(wrap(b"\x80\x04" + given, tmp_path / "x", form), "")


@pytest.mark.parametrize(
    ("shape", "stride", "says"),
    [
        ((10**6, 10**6), (0, 0), "unpacks to more than it holds"),
        ((5,), (1,), "of shape (5,) needs more values than the file has"),
        ((2,), (-1,), "a tensor has no shape"),
        ((2, 2), (1,), "shorter than"),
        ((1,) * 100, (1,) * 100, "a tensor has no shape"),
        ("ab", (1, 1), "a tensor has no shape"),
    ],
)
def test_shapes_that_cannot_be_are_told(tmp_path: Path, shape: Any, stride: Any, says: str) -> None:
    class Lying:
        def __reduce__(self) -> Any:
            storage = torch.ones(4)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (storage, 0, shape, stride, False, {})

    fails(save(Lying(), tmp_path / "x", "zip"), says)


def safetensors(header: object, content: bytes = bytes(16)) -> bytes:
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<q", len(written)) + written + content


def entry(shape: object, *offsets: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff" * 20, "it has no header"),
        (safetensors(b"[1]"), "its header is damaged"),
        (safetensors({"w": 3}), "its header is damaged"),
        (safetensors({"w": {"dtype": "F32", "shape": [1]}}), "its header is damaged: 'data_offs"),
        (safetensors(b'{"w":' * 100_000), "its header is damaged: maximum recursion depth"),
        (safetensors(b'{"w":' + b"9" * 5000 + b"}"), "its header is damaged: Exceeds the limit"),
        (safetensors({"w": entry([4], 0, 4)}), "of shape (4,) takes 16 bytes and has 4"),
        (safetensors({"w": entry([1], 0, 8)}), "of shape (1,) takes 4 bytes and has 8"),
        (safetensors({"w": entry([1], 0, 4)}, b""), "it is cut short"),
        (safetensors({"w": entry([8], 0, 32)}), "it is cut short"),
        (safetensors({"w": entry([1], 0, 4, dtype="F3")}), "its header is damaged: 'F3'"),
        (safetensors({"w": entry([1], 0, 4, dtype=[])}), "its header is damaged: unhashable"),
        (safetensors({"w": entry([True], 0, 4)}), "a tensor has no shape"),
        (safetensors({"w": entry([-1], 0, 4)}), "a tensor has no shape"),
        (safetensors({"w": entry([1.0], 0, 4)}), "a tensor has no shape"),
        (safetensors({"w": entry([2**70], 0, 4)}), "a tensor has no shape"),
        (safetensors({"w": entry([1, "a", 10**15], 0, 4)}), "a tensor has no shape"),
        (safetensors({"w": entry([2**62, 2**62], 0, 4)}), "bytes and has 4"),
        (safetensors({"w": entry([1], -4, 0)}), "a tensor has no shape"),
        (safetensors({"w": entry([1], 4, 0)}), "takes 4 bytes and has -4"),
        (safetensors({"w": entry([1], 0, 2**70)}), "a tensor has no shape"),
        (safetensors({"w": entry([1], 0)}), "its header is damaged"),
        (safetensors({"w": entry([2], 0, 8), "v": entry([2], 4, 12)}), "its tensors overlap"),
    ],
)
def test_damaged_safetensors_are_told(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    fails(tmp_path / "x.safetensors", says)


def test_safetensors_are_read_too(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    whole = {key: each.detach().clone().contiguous() for key, each in tensors.items()}
    save_file(whole, tmp_path / "x.safetensors", {"format": "pt"})
    found, left_out = read(tmp_path / "x.safetensors")
    assert (found.keys(), left_out) == (whole.keys(), ())
    assert all(torch.equal(found[key], whole[key]) for key in whole)
