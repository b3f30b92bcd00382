"""Why `torch.load(weights_only=True)` does not do the reading: when one fails, think again."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from kernel_audio_import import opened

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")

DEEP_KEY = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x00s."
"""{a tuple in a tuple in a tuple: 0}"""


def zipped(content: bytes, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    return path


def test_a_deep_key_ends_its_process(tmp_path: Path) -> None:
    path = zipped(DEEP_KEY, tmp_path / "x.pt")
    with opened(path) as file:
        assert file.tensors == {}
    code = "import sys, torch; torch.load(sys.argv[1], weights_only=True)"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, timeout=60)
    assert done.returncode < 0


def test_a_network_that_torch_did_not_frame_is_not_read(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    path = tmp_path / "ema_prof_4"
    path.write_bytes(pickle.dumps(network, 4))
    with opened(path) as file:
        assert torch.equal(file.tensors["weight"].load(), network.weight)
    with pytest.raises(pickle.UnpicklingError, match="Unsupported operand"):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize("protocol", [1, 4, 5])
def test_other_protocols_are_not_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(2)}, path, pickle_protocol=protocol)
    with opened(path) as file:
        assert list(file.tensors) == ["w"]
    with pytest.raises(pickle.UnpicklingError, match="Unsupported operand"):
        torch.load(path, weights_only=True)


def test_a_few_bytes_become_a_tensor_of_terabytes() -> None:
    class Lying:
        def __reduce__(self) -> object:
            storage = torch.ones(4)._typed_storage()
            arguments = (storage, 0, (10**6, 10**6), (0, 0), False, {})
            return torch._utils._rebuild_tensor_v2, arguments

    content = io.BytesIO()
    torch.save(Lying(), content)
    content.seek(0)
    assert torch.load(content, weights_only=True).numel() == 10**12
