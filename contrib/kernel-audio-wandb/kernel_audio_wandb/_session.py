"""A W&B run that is open: the library, its service, and what is written."""

from __future__ import annotations

import atexit
import json
import shlex
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import wandb
from kernel_audio_tracking import Buffer
from wandb.sdk.wandb_setup import singleton

from kernel import OutputError

__all__ = ["Session"]

CHANGING = threading.Lock()
"""Held while a run begins or ends, since the last one to end takes the service along."""


class Session:
    """Writes into `wandb` in a folder; goes on with the W&B run that its `resume.json` names.

    last: the last step that was written before. Of W&B's sources of settings (its files, variables
    of the environment) those here come first. The service of W&B ends with the last run that needs
    it; a session that is dropped before it is closed ends as failed. Raises OutputError.
    """

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        *,
        mode: Literal["offline", "online"],
        project: str,
        entity: str | None,
        name: str,
        tags: Sequence[str],
    ) -> None:
        self._directory, self._mode = directory, mode
        self._state = directory / "wandb" / "resume.json"
        known = self._known()
        self.last: int = known.get("step", 0)
        settings = wandb.Settings(
            mode=mode,
            silent=True,
            console="off",
            reinit="create_new",
            symlink=False,
            use_dot_wandb=False,
            # The record of a run has the versions, the machine and the command.
            disable_git=True,
            x_disable_meta=True,
            x_save_requirements=False,
        )
        with CHANGING:
            try:
                self._state.parent.mkdir(parents=True, exist_ok=True)
                # Global settings decide whether W&B sends metrics about itself. They are those of
                # somebody else while a run of theirs is active.
                if singleton().most_recent_active_run is None:
                    wandb.setup(settings)
                self._run = wandb.init(
                    dir=directory,
                    id=known.get("id"),
                    resume="allow" if known else None,
                    project=project,
                    entity=entity,
                    name=name,
                    tags=tags,
                    config=dict(config),
                    settings=settings,
                )
            except Exception as error:
                _leave()
                raise self._problem(error) from error
        # The garbage collector may run in the thread of W&B, which cannot wait for itself.
        self._dropped = weakref.finalize(
            self, lambda run: threading.Thread(target=_end, args=(run, 1)).start(), self._run
        )
        # At the end of the process W&B ends its runs, after this.
        self._dropped.atexit = False
        atexit.register(self._dropped.detach)

    def write(self, buffer: Buffer, scores: Mapping[str, float] | None = None) -> None:
        """Write what a buffer holds, and empty it."""
        points: dict[int, dict[str, Any]] = {}
        for step, moment, values in buffer.rows:
            points[step] = {**values, "_timestamp": moment}
        try:
            for step, name, file in buffer.heard:
                sound = wandb.Audio(str(self._directory / file), caption=name)
                points.setdefault(step, {})[f"sounds/{name}"] = sound
            if scores:
                points.setdefault(buffer.last, {}).update(scores)
            for step in sorted(points):
                self._run.log(points[step], step=step)
        except Exception as error:
            self.close(1)
            raise self._problem(error) from error
        buffer.clear()

    def keep(self, step: int) -> None:
        """Note that a training that is resumed goes on after `step`."""
        partial = self._state.with_suffix(".partial")
        try:
            partial.write_text(json.dumps({"id": self._run.id, "step": step}), "utf-8")
            partial.replace(self._state)
        except OSError as error:
            raise self._problem(error) from error

    def close(self, exit_code: int = 0) -> str:
        """End the run and return how to see it. Raises OutputError for a good end that failed."""
        self._dropped.detach()
        atexit.unregister(self._dropped.detach)
        problem = _end(self._run, exit_code)
        if problem is not None and exit_code == 0:
            raise self._problem(problem) from problem
        if self._mode == "online":
            return f"see {self._run.url}"
        return f"wandb sync {shlex.quote(str(self._state.parent))} to upload"

    def _known(self) -> dict[str, Any]:
        """Return `id` and `step` of the W&B run to go on with, if there is one."""
        try:
            known = json.loads(self._state.read_text("utf-8"))
            return {"id": str(known["id"]), "step": int(known["step"])}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(
                f"{self._state} is damaged; remove it to begin another W&B run"
            ) from error

    def _problem(self, error: Exception) -> OutputError:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        said = said.strip().split("\n")[0].rstrip(".")
        what = f"observer.wandb cannot write {self._state.parent}: {said}"
        if self._mode == "online":
            return OutputError(
                f"{what}; run `wandb login`, or leave out observer.wandb.mode to upload later"
            )
        return OutputError(f"{what}; make room for it, or leave out observer.wandb")


def _end(run: wandb.Run, exit_code: int) -> Exception | None:
    """End a run, and return why it could not be ended; its service may be gone."""
    problem = None
    with CHANGING:
        try:
            run.finish(exit_code=exit_code)
        except Exception as error:
            problem = error
        _leave()
    return problem


def _leave() -> None:
    """End the service, unless another run needs it."""
    if singleton().most_recent_active_run is None:
        with suppress(Exception):
            wandb.teardown()
