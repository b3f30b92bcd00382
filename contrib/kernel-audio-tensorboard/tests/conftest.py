"""Reads what was written with TensorBoard's own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Seen:
    """What TensorBoard finds in a folder."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray

        self._events: Any = EventAccumulator(str(folder), tensor_size_guidance={"audio": 0})
        self._events.Reload()
        self._array = make_ndarray
        self.names = set(self._events.Tags()["tensors"])

    @property
    def sounds(self) -> dict[str, bytes]:
        """Return the bytes of the newest sounds by their names."""
        return {
            name: self._array(self._events.Tensors(name)[-1].tensor_proto).item(0)
            for name in sorted(self._events.PluginTagToContent("audio"))
        }

    def curve(self, name: str) -> dict[int, float]:
        """Return the points of a curve by their steps, each of which has one."""
        events = self._events.Tensors(name)
        points = {event.step: float(self._array(event.tensor_proto)) for event in events}
        assert len(points) == len(events)
        return points

    def text(self, name: str) -> str:
        """Return a text."""
        return str(self._array(self._events.Tensors(name)[0].tensor_proto).item().decode())

    @property
    def hparams(self) -> dict[str, Any]:
        """Return the settings that runs are compared by."""
        from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

        content = self._events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
        found = parse_session_start_info_plugin_data(content).hparams
        return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}

    @property
    def ended(self) -> bool:
        """Return whether the run says that it ended."""
        return "_hparams_/session_end_info" in self._events.PluginTagToContent("hparams")


@pytest.fixture
def seen() -> Callable[[Path], Seen]:
    """Return a function from a folder to what TensorBoard finds in it."""
    return Seen
