from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import kernel_audio_compare

PACKAGE = Path(kernel_audio_compare.__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="needs a clone, for its docs/api.md")
def test_only_the_tooling_api_is_imported() -> None:
    text = PAGE.read_text("utf-8")
    allowed = set(re.findall(r"`(kernel\.[.\w]+)`", text[text.index("## The tooling API") :]))
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kernel."):
                module = str(node.module)
                assert module in allowed or module.startswith("kernel.kinds."), (path, module)
            assert not isinstance(node, ast.ImportFrom) or "kernel_plugins" not in str(node.module)
