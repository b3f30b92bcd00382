"""Reads what was written with MLflow's own client, and keeps everybody off the network."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


class Seen:
    """What MLflow finds of the only run in a store."""

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(uri or f"sqlite:///{folder}/mlflow/mlflow.db")
        places = [each.experiment_id for each in self._client.search_experiments()]
        (self.run,) = self._client.search_runs(places)
        self.experiment = self._client.get_experiment(self.run.info.experiment_id).name

    def curve(self, name: str) -> dict[int, float]:
        """Return the points of a curve by their steps, each of which has one."""
        points = self._client.get_metric_history(self.run.info.run_id, name)
        curve = {each.step: each.value for each in points}
        assert len(curve) == len(points)
        return curve

    def times(self, name: str) -> list[int]:
        """Return when the points of a curve were measured, in milliseconds."""
        history = self._client.get_metric_history(self.run.info.run_id, name)
        return [each.timestamp for each in history]

    def files(self, place: str = "") -> dict[str, bytes]:
        """Return the bytes of all files by their places."""
        found = {}
        for each in self._client.list_artifacts(self.run.info.run_id, place or None):
            if each.is_dir:
                found |= self.files(each.path)
            else:
                local = self._client.download_artifacts(self.run.info.run_id, each.path)
                found[each.path] = Path(local).read_bytes()
        return found


@pytest.fixture
def seen() -> Callable[..., Seen]:
    """Return a function from a folder, or a URI, to what MLflow finds there."""
    return Seen


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection to another machine."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        near = self.family == socket.AF_UNIX or address[0] == "127.0.0.1"
        assert near, f"a connection to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True, scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let MLflow make one store, which takes seconds, and copy it for every other one."""
    from mlflow.store.db import utils

    made, make = tmp_path_factory.mktemp("store") / "mlflow.db", utils._initialize_tables

    def copy(engine: Any) -> None:
        if made.exists():
            shutil.copyfile(made, engine.url.database)
        else:
            make(engine)
            shutil.copyfile(engine.url.database, made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "_initialize_tables", copy)
        yield
