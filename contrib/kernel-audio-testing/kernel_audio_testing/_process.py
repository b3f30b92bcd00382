"""Checks a plugin in a process of its own, so that it can hang, exit or crash there."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs

from kernel.errors import KernelError, PluginError
from kernel.registry import PluginInfo, Registry
from kernel_audio_testing._run import Outcome, outcomes, subject_of

__all__ = ["Report", "check_apart", "main"]

_CHILD = """
import json, sys
with open(sys.argv[1]) as file:
    order = json.load(file)
sys.path[:] = dict.fromkeys(order["path"] + sys.path)
from kernel_audio_testing._process import main
main(order)
"""


@attrs.frozen
class Report:
    """How the checks of one plugin ended.

    error: why it could not be loaded or configured, with the `exit_code` of that; then there are no
    outcomes. log: what it printed.
    """

    info: PluginInfo
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""
    exit_code: int = 0
    log: str = ""

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """Return the checks that did not pass."""
        return tuple(each for each in self.outcomes if each.status in ("failed", "error"))


def check_apart(info: PluginInfo, options: Mapping[str, Any], timeout: float) -> Report:
    """Return how the checks of a plugin ended, all of them within `timeout` seconds."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        order = {
            "path": sys.path,
            "info": info._asdict(),
            "options": dict(options),
            "results": str(place / "results"),
        }
        (place / "order.json").write_text(json.dumps(order, default=str), "utf-8")
        with (place / "log").open("wb") as log:
            arguments = [sys.executable, "-P", "-c", _CHILD, str(place / "order.json")]
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                ended = f"ended its process with the exit status {process.wait(timeout)}"
            except subprocess.TimeoutExpired:
                ended = f"was still running after {timeout:g} s"
            finally:
                process.kill()
                process.wait()
        return _report(info, place, ended)


def _report(info: PluginInfo, place: Path, ended: str) -> Report:
    log = (place / "log").read_text("utf-8", "replace").strip()
    results = place / "results"
    text = results.read_text("utf-8") if results.exists() else ""
    loaded, done, running = False, False, ("", "")
    found = []
    # A process that is killed may leave half a line.
    for line in (json.loads(line) for line in text.splitlines(True) if line.endswith("\n")):
        if "error" in line:
            return Report(info, error=line["error"], exit_code=line["exit_code"], log=log)
        if "outcome" in line:
            found.append(Outcome(**line["outcome"]))
        loaded, done = loaded or "loaded" in line, done or "done" in line
        running = tuple(line["running"]) if "running" in line else running
    if not loaded:
        error = f"{info.qualified} cannot be used: loading it {ended}"
        return Report(info, error=error, exit_code=PluginError.exit_code, log=log)
    if not done:
        found.append(Outcome(*running, "error", f"the check {ended}", 0.0))
    return Report(info, tuple(found), log=log)


def main(order: Mapping[str, Any]) -> None:
    """Check the plugin in `order`, writing one line of JSON at each event to order["results"]."""
    info = PluginInfo(**order["info"])
    with Path(order["results"]).open("w", encoding="utf-8") as file:

        def tell(**event: Any) -> None:
            file.write(json.dumps(event) + "\n")
            file.flush()

        try:
            subject = subject_of(Registry.scan(), info, order["options"])
        except KernelError as error:
            if error.__cause__ is not None:
                traceback.print_exception(error.__cause__)
            tell(error=str(error), exit_code=error.exit_code)
            return
        tell(loaded=True)
        for outcome in outcomes(subject, lambda check: tell(running=(check.name, check.promise))):
            tell(outcome=attrs.asdict(outcome))
        tell(done=True)
