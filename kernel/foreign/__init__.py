"""Foreign checkpoints read as data: nothing that a file names is imported or called.

`_machine` interprets pickle's opcodes, `_globals` is the whole of what a pickle may name,
`_formats` knows the files that hold pickles, and `_names` makes named tensors of what came out.
"""

from kernel.foreign._formats import Checkpoint, opened
from kernel.foreign._names import groups, strip_prefix, subtree
from kernel.foreign._stored import Stored
from kernel.foreign._write import load, write

__all__ = [
    "Checkpoint",
    "Stored",
    "groups",
    "load",
    "opened",
    "strip_prefix",
    "subtree",
    "write",
]
