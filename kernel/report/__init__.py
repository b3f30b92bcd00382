"""What `kernel run` leaves beside the sounds: a record, a sheet of spectrograms, a page."""

from __future__ import annotations

from kernel.report._facts import count
from kernel.report.page import write_page
from kernel.report.record import write_json
from kernel.report.sheet import spectrogram_png, spectrogram_sheet

__all__ = ["count", "spectrogram_png", "spectrogram_sheet", "write_json", "write_page"]
