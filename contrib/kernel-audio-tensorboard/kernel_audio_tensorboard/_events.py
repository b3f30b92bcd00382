"""TensorBoard's event files, closed after every event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.scalar.summary_v2 import scalar_pb
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

__all__ = [
    "audio",
    "beginning",
    "ending",
    "file_name",
    "hparams",
    "restart",
    "scalars",
    "text",
    "write",
]


def file_name() -> str:
    """Return the name of an event file; TensorBoard reads files in the order of their names."""
    return f"events.out.tfevents.{time.time_ns()}"


def write(path: Path, *events: Any) -> None:
    """Append events to a file and close it: it is always whole. Raises OSError."""
    with path.open("ab") as file:
        writer = RecordWriter(file)
        for event in events:
            event.wall_time = time.time()
            writer.write(event.SerializeToString())


def beginning() -> Any:
    """Return the first event of a file."""
    return Event(file_version="brain.Event:2")


def restart(step: int) -> Any:
    """Return the event that removes the values of earlier files from `step` on."""
    return Event(step=step, session_log=SessionLog(status=SessionLog.START))


def scalars(step: int, values: Mapping[str, float]) -> Any:
    """Return the values of a step; each name is a curve."""
    parts = [part for name, value in values.items() for part in scalar_pb(name, value).value]
    return Event(step=step, summary=Summary(value=parts))


def text(name: str, markdown: str) -> Any:
    """Return a text to read."""
    return Event(summary=text_pb(name, markdown))


def audio(step: int, name: str, wav: bytes, sample_rate: int) -> Any:
    """Return a sound to hear, the bytes of a WAV file."""
    sound = Summary.Audio(
        encoded_audio_string=wav, content_type="audio/wav", sample_rate=sample_rate
    )
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=name, audio=sound)]))


def hparams(values: Mapping[str, bool | float | str]) -> Any:
    """Return the settings by which TensorBoard compares runs."""
    return Event(summary=hparams_pb(dict(values)))


def ending() -> Any:
    """Return the event that marks a run with settings as successful."""
    info = SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time())
    # TensorBoard's own function for this imports TensorFlow.
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(HParamsPluginData(session_end_info=info)),
        tensor=metadata.NULL_TENSOR,
    )
    return Event(summary=Summary(value=[value]))
