"""An MLflow run that is open."""

from __future__ import annotations

import atexit
import json
import logging
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from kernel_audio_tracking import Buffer, settings
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.telemetry import client as telemetry

from kernel import OutputError

__all__ = ["Session"]

SQLITE = "sqlite:///"
METRICS, PARAMS, LENGTH = 1000, 100, 6000
"""Metrics and parameters that one request may hold, and characters of a parameter's value.

https://mlflow.org/docs/latest/rest-api.html#request-limits
"""


class Session:
    """Writes to an MLflow store; goes on with the run that `mlflow/resume.json` names.

    last: the last step that was written before. A process that ends before the session is closed
    leaves a run whose status is KILLED. Raises OutputError.
    """

    def __init__(
        self,
        directory: Path,
        record: Mapping[str, Any],
        *,
        uri: str | None,
        experiment: str,
        name: str,
        tags: Mapping[str, str],
    ) -> None:
        self._directory, self._state = directory, directory / "mlflow" / "resume.json"
        self._uri = uri or f"{SQLITE}{(directory / 'mlflow' / 'mlflow.db').resolve().as_posix()}"
        local = self._uri.startswith(SQLITE)
        self._file = Path(self._uri.removeprefix(SQLITE)).resolve() if local else None
        known = self._known()
        self.last: int = known.get("step", 0)
        # MLflow tells its makers how it is used, with a local store too, unless a variable of the
        # environment says otherwise.
        telemetry._set_telemetry_client(None)
        for each in ("mlflow.store.db", "alembic"):
            logging.getLogger(each).setLevel(logging.WARNING)
        try:
            self._state.parent.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(tracking_uri=self._uri)
            self._check_file()
            self._run = known.get("run") or self._create(experiment, name, tags)
            self._describe(record)
        except (OSError, MlflowException) as error:
            raise self._problem(error) from error
        self._left = partial(_leave, self._client, self._run, self._file)
        atexit.register(self._left)

    def write(self, buffer: Buffer, scores: Mapping[str, float] | None = None) -> None:
        """Write what a buffer holds, and empty it; an error leaves what is not written yet.

        An interruption waits for the end of it: half a transaction would lock a SQLite file.
        """
        with ThreadPoolExecutor(1) as another:
            another.submit(self._write, buffer, scores).result()

    def keep(self, step: int) -> None:
        """Note that a training that is resumed goes on after `step`."""
        partial = self._state.with_suffix(".partial")
        try:
            partial.write_text(json.dumps({"run": self._run, "step": step}), "utf-8")
            partial.replace(self._state)
        except OSError as error:
            raise self._problem(error) from error

    def close(self) -> str:
        """End the run and return how to see it."""
        atexit.unregister(self._left)
        try:
            self._client.set_terminated(self._run)
        except MlflowException as error:
            raise self._problem(error) from error
        if self._file:
            return f"mlflow ui --backend-store-uri {shlex.quote(f'{SQLITE}{self._file}')}"
        return f"see {self._uri}"

    def _create(self, experiment: str, name: str, tags: Mapping[str, str]) -> str:
        """Return the new run in an experiment, which is made if there is none of that name."""
        found = self._client.get_experiment_by_name(experiment)
        if found:
            place = found.experiment_id
        else:
            # Otherwise MLflow puts the files of a SQLite store into the current folder.
            files = (self._file.parent / "artifacts").as_uri() if self._file else None
            place = self._client.create_experiment(experiment, artifact_location=files)
        run = self._client.create_run(place, run_name=name, tags=dict(tags))
        return str(run.info.run_id)

    def _describe(self, record: Mapping[str, Any]) -> None:
        """Write settings and record. Settings that a resumed training changed stay as they were."""
        run = self._client.get_run(self._run)
        if run.info.status != "RUNNING":
            self._client.update_run(self._run, status="RUNNING")
        params = [
            Param(name, str(value)[:LENGTH])
            for name, value in settings(record).items()
            if name not in run.data.params
        ]
        for first in range(0, len(params), PARAMS):
            self._client.log_batch(self._run, params=params[first : first + PARAMS])
        self._client.log_dict(self._run, dict(record), "record.json")

    def _write(self, buffer: Buffer, scores: Mapping[str, float] | None) -> None:
        try:
            while buffer.rows:
                count = max(1, METRICS // max(len(values) for _, _, values in buffer.rows))
                self._log(buffer.rows[:count])
                del buffer.rows[:count]
            while buffer.heard:
                file = PurePosixPath(buffer.heard[0][2])
                # A training's are in samples/STEP.
                place = PurePosixPath("sounds", *file.parts[1:-1])
                self._client.log_artifact(self._run, str(self._directory / file), str(place))
                del buffer.heard[0]
            if scores:
                for name, value in scores.items():
                    self._client.log_metric(self._run, name, value, step=buffer.last)
        except (OSError, MlflowException) as error:
            raise self._problem(error) from error

    def _log(self, rows: list[tuple[int, float, dict[str, float]]]) -> None:
        metrics = [
            Metric(name, value, round(1000 * moment), step)
            for step, moment, values in rows
            for name, value in values.items()
        ]
        self._client.log_batch(self._run, metrics=metrics)

    def _known(self) -> dict[str, Any]:
        """Return `run` and `step` of the MLflow run to go on with, if there is one."""
        try:
            known = json.loads(self._state.read_text("utf-8"))
            return {"run": str(known["run"]), "step": int(known["step"])}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise OutputError(
                f"{self._state} is damaged; remove it to begin another MLflow run"
            ) from error

    def _check_file(self) -> None:
        """Raise OutputError when MLflow has a file open that is there no more."""
        if self._file and not self._file.exists():
            raise OutputError(
                f"observer.mlflow cannot write {self._file}, which was removed since this process "
                f"opened it; choose another folder, or start a new process"
            )

    def _problem(self, error: Exception) -> OutputError:
        said = (getattr(error, "strerror", None) or str(error)).strip().split("\n")[0].rstrip(".")
        advice = "choose another observer.mlflow.uri"
        if getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
            advice = f"remove {self._state} to begin another MLflow run"
        return OutputError(f"observer.mlflow cannot write {self._uri}: {said}; {advice}")


def _leave(client: MlflowClient, run: str, file: Path | None) -> None:
    """Mark a run that was not ended, if its store is still there."""
    if file is None or file.exists():
        with suppress(Exception):
            client.set_terminated(run, "KILLED")
