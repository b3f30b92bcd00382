"""Run the command of every task that docs/edits.md shows, and keep the picture of each.

    python benchmarks/edits/examples.py DATA [--only NAME ...]

DATA is a folder of recordings. Commands are read from the page itself: what it shows is what is
run. Pictures go to docs/edits/NAME.png; the runs, each with its page, to runs/edit-NAME.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "edits.md"


def commands() -> dict[str, list[str]]:
    """Return the indented lines of each section of the page, by the section's task."""
    found = {}
    for section in re.split(r"(?=^## )", PAGE.read_text("utf-8"), flags=re.MULTILINE):
        if title := re.match(r"## `([\w-]+)`", section):
            lines = re.findall(r"^    (.*)$", section, re.MULTILINE)
            found[title[1]] = " ".join(lines).replace("\\ ", "").split(" && ")
    return found


def main() -> None:
    """Run them, and stop at the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    for name, lines in commands().items():
        if given.only and name not in given.only:
            continue
        folder = ROOT / "runs" / f"edit-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        for line in lines:
            words = [word.replace("DATA", str(given.data)) for word in shlex.split(line)]
            if words[0] == "python":
                words[0] = sys.executable
            if words[:2] == ["kernel", "run"]:
                words += ["--name", folder.name]
            print(shlex.join(words), flush=True)
            subprocess.run(words, check=True, cwd=ROOT)
        picture = PAGE.parent / "edits" / f"{name}.png"
        picture.parent.mkdir(exist_ok=True)
        # Eight bits a pixel are enough to look at, and a third of the size.
        Image.open(folder / "spectrograms.png").convert("RGB").quantize(96).save(picture)


if __name__ == "__main__":
    main()
