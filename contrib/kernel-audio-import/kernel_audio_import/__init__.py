"""Foreign checkpoints read as data: nothing that a file names is imported or called.

`_machine` interprets pickle's opcodes, `_globals` is the whole of what a pickle may name,
`_formats` knows the files that hold pickles, and `_names` makes named tensors of what came out.
What an importer may use beside the kernel is here.
"""

from kernel_audio_import._formats import opened
from kernel_audio_import._names import groups, strip_prefix, subtree
from kernel_audio_import._object import ForeignObject

__all__ = ["ForeignObject", "groups", "opened", "strip_prefix", "subtree"]
