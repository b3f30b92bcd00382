"""Levels as colours: indexed PNGs whose colours are set once the loudest sound is known."""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode
from typing import TYPE_CHECKING

from kernel_plugins.observers._spectrum import RANGE, top

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PALETTE", "encode", "indices", "palette", "repaint"]

# The colour map "magma" of matplotlib, CC0: 256 colours of three bytes.
_MAGMA = b64decode(
    "AAAEAQAFAQEGAQEIAgEJAgILAgINAwMPAwMSBAQUBQQWBgUYBgUaBwYcCAceCQcgCggiCwkkDAkmDQopDgsrEAst"
    "EQwvEg0xEw00FA42FQ44Fg87GA89GRA/GhBCHBBEHRFHHhFJIBFLIRFOIhFQJBJTJRJVJxJYKRFaKhFcLBFfLRFh"
    "LxFjMRFlMxBnNBBpNhBrOBBsOQ9uOw9wPQ9xPw9yQA90Qg91RA92RRB3RxB4SRB4ShB5TBF6ThF7TxJ7URJ8UhN8"
    "VBN9VhR9VxV+WRV+WhZ+XBZ/XRd/Xxh/YBiAYhmAZBqAZRqAZxuAaByBahyBax2BbR2Bbh6BcB+Bch+BcyCBdSGB"
    "diGBeCKBeSKCeyOCfCOCfiSCgCWCgSWBgyaBhCaBhieBiCeBiSiBiymBjCmBjiqBkCqBkSuBkyuAlCyAliyAmC2A"
    "mS2Amy5/nC5/ni9/oC9/oTB+ozB+pTF+pjF9qDJ9qjN9qzN8rTR8rjR7sDV7sjV7szZ6tTZ6tzd5uDd5ujh4vDl4"
    "vTl3vzp3wDp2wjt1xDx1xTx0xz1zyD5zyj5yzD9xzUBxz0Bw0EFv0kJv00Nu1URt1kVs2EVs2UZr20dq3Ehp3klo"
    "30po4Exn4k1m405l5E9k5VBk51Jj6FNi6VRi6lZh61dg7Fhg7Vpf7lte711e8F9e8WBd8mJd8mRc82Vc9Gdc9Glc"
    "9Wtc9mxc9m5c93Bc93Jc+HRc+HZc+Xhd+Xld+Xtd+n1e+n9e+oFf+4Nf+4Vg+4dh/Ilh/Ipi/Ixj/I5k/JBl/ZJm"
    "/ZRn/ZZo/Zhp/Zpq/Ztr/p1s/p9t/qFu/qNv/qVx/qdy/qlz/qp0/qx2/q53/rB4/rJ6/rR7/rZ8/rd+/rl//ruB"
    "/r2C/r+E/sGF/sKH/sSI/saK/siM/sqN/syP/s2Q/s+S/tGU/tOV/tWX/teZ/tia/dqc/dye/d6g/eCh/eKj/eOl"
    "/eWn/eep/emq/eus/Oyu/O6w/PCy/PK0/PS2/Pa4/Pe5/Pm7/Pu9/P2/"
)

PALETTE = 33
"""Offset of the colours in a picture of `encode`: behind the signature and the header."""


def indices(
    picture: NDArray[np.float64], loudest: float | None = None
) -> tuple[NDArray[np.uint8], float]:
    """Return levels in dB as bytes [rows, columns], and the level of byte 255.

    The rows are reversed: a picture's first row is its top. Byte 0 stands for 80 dB below
    `loudest`; without `loudest`, for 80 dB below the loudest point.
    """
    import numpy as np

    loudest = top([picture]) if loudest is None else loudest
    scaled = np.rint((picture[::-1] - (loudest - RANGE)) * (255 / RANGE))
    return np.clip(scaled, 0, 255).astype(np.uint8), loudest


def palette(own: float = 0.0, loudest: float = 0.0) -> bytes:
    """Return 256 colours for the bytes of `indices` whose 255 is at the level `own`, in dB.

    The brightest colour stands for the level `loudest` >= `own`.
    """
    down = (loudest - own) * 255 / RANGE
    places = (min(max(round(index - down), 0), 255) for index in range(256))
    return b"".join(_MAGMA[3 * place : 3 * place + 3] for place in places)


def encode(points: NDArray[np.uint8], colours: bytes) -> bytes:
    """Return an indexed PNG of `points` [rows, columns]; `colours` as `palette` returns them."""
    import numpy as np

    rows, columns = points.shape
    lines = np.zeros((rows, columns + 1), np.uint8)
    lines[:, 1:] = points
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    data = zlib.compress(lines.tobytes(), 4)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def repaint(colours: bytes) -> bytes:
    """Return the bytes of a picture with these colours from `PALETTE` on, always equally many."""
    return _chunk(b"PLTE", colours)


def _chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG: its length, its kind, its data, their checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
