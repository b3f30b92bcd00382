"""The documents say what the code does."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_readmes_plugin_is_the_one_in_contrib() -> None:
    source = ROOT / "contrib" / "kernel-audio-midpoint" / "kernel_audio_midpoint.py"
    assert f"```python\n{source.read_text('utf-8')}```" in README


def test_the_table_of_plugins_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "docs" / "generate.py"), run_name="__main__")
    assert end.value.code == 0


def test_every_link_of_the_readme_leads_somewhere() -> None:
    import re

    targets = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert "docs/digits.png" in targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("pack", ["digits_edm", "digits_rf"])
def test_a_shipped_pack_is_at_most_12_megabytes(pack: str) -> None:
    folder = ROOT / "plugins" / "kernel_plugins" / "models" / pack
    assert sum(path.stat().st_size for path in folder.iterdir()) < 12_000_000
