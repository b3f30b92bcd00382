"""A component of each kind that works, called `mine`: what `kernel new` makes projects from.

`Mine`, `mine` and the name of this package become those of the project; nothing else changes. A
module imports nothing but the public API of `kernel`, and no torch until it is used.
"""
