"""Foreign checkpoints read as data: no code that a file names is imported or called.

`_machine` interprets pickle's opcodes, `_globals` lists all names that a pickle may use,
`_formats` reads the files that hold pickles, and `_names` makes named tensors of the values.
An importer may use the names of this module besides the kernel's.
"""

from kernel_audio_import._formats import opened
from kernel_audio_import._names import groups, strip_prefix, subtree
from kernel_audio_import._object import ForeignObject

__all__ = ["ForeignObject", "groups", "opened", "strip_prefix", "subtree"]
