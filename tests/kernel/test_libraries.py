from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kernel.errors import KernelError
from kernel.runner.libraries import check_pair


def test_the_installed_pair_fits() -> None:
    check_pair()


@pytest.mark.parametrize(
    "failure",
    [
        "raise RuntimeError('PyTorch has CUDA version 13.2 whereas TorchAudio has 13.0.')",
        "raise OSError('libc10_cuda.so: cannot open shared object file')",
        "raise ImportError('no such symbol')",
    ],
)
def test_a_pair_that_does_not_match_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    (tmp_path / "torchaudio.py").write_text(failure)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    said = failure.split("'")[1].rstrip(".")
    with pytest.raises(KernelError) as raised:
        check_pair()
    sentence = str(raised.value)
    assert sentence.startswith("torch 2.") and said in sentence
    assert sentence.endswith("pip install torch==2.11.0 torchaudio==2.11.0")
