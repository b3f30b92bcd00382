"""Installable projects, written whole: plugins to begin with, and packs of trained models.

    names = Names.of("kernel-audio-ab2")
    new_project(names, "solver").write(Path())

A project is the text of its files; nothing here imports torch or a plugin.
"""

from __future__ import annotations

from kernel_audio_testing.projects._into import Addition, addition
from kernel_audio_testing.projects._names import Names
from kernel_audio_testing.projects._new import new_project
from kernel_audio_testing.projects._pack import pack_project
from kernel_audio_testing.projects._project import Project

__all__ = ["Addition", "Names", "Project", "addition", "new_project", "pack_project"]
