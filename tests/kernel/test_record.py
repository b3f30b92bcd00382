import json
import math
from pathlib import Path

import pytest

from kernel.errors import NumericalError
from kernel.record import write_json


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"b": 1, "a": {"d": "ü", "c": (1, 2)}})
    text = (tmp_path / "run.json").read_text("utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert list(json.loads(text)) == ["a", "b"]
    assert json.loads(text)["a"] == {"c": [1, 2], "d": "ü"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_refuses_what_is_not_a_number_and_names_it(tmp_path: Path, value: float) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(NumericalError, match=r"run\.json: items\[1\]\.gain is (nan|-?inf)"):
        write_json(path, {"items": [{"gain": 1.0}, {"gain": value}]})
    assert not path.exists()


def test_json_keeps_a_file_name_that_is_no_unicode(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", {"file": "a\udc80.wav"})
    assert json.loads((tmp_path / "run.json").read_bytes())["file"] == "a\udc80.wav"
