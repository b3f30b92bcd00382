"""The base of the tasks that learn from a folder of audio: options, files, data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, cast

from pydantic import Field, field_validator

from kernel import Dataset, InputError, UsageError, did_you_mean
from kernel_plugins.tasks._augmented import AugmentedTask
from kernel_plugins.tasks._files import Files, Source, hashed, read_manifest
from kernel_plugins.tasks._shards import FACTS, Shards, index_shards, write_shards

if TYPE_CHECKING:
    from torch import Tensor

    from kernel_plugins.tasks._sounds import Sounds

SPLITS = ("train", "valid")


class FolderTask(AugmentedTask):
    """The options and the files of a folder of audio."""

    path: Path | None = Field(
        None, description="folder of audio or of shards; needed for training only"
    )
    pattern: str = Field("**/*", description="glob of the files below `path`")
    extensions: tuple[str, ...] = Field(
        (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"),
        min_length=1,
        description="endings of audio files, in upper or lower case",
    )
    manifest: Path | None = Field(
        None, description="CSV or JSONL file that names the files, instead of `pattern`"
    )
    manifest_path: str = Field(
        "path", description="the manifest's column of paths, relative to `path`"
    )
    bad_files: Literal["stop", "skip"] = Field(
        "stop", description="stop the training at bad files, or skip and count them"
    )
    trim: float | None = Field(
        None,
        ge=1,
        le=120,
        description="cut start and end that are this many dB below the peak; off by default",
    )
    mask_padding: bool = Field(
        False, description="leave the padding out of the loss; false: learn its silence"
    )
    valid_fraction: float = Field(
        0.0, ge=0, lt=1, description="share of the files held out, chosen by a hash of their names"
    )
    cache: float = Field(
        4.0, ge=0, description="gigabytes of decoded audio kept in memory; the rest is read again"
    )

    @field_validator("pattern")
    @classmethod
    def _below(cls, pattern: str) -> str:
        parts = Path(pattern).parts
        if not parts or pattern.startswith("/") or ".." in parts:
            raise ValueError("a pattern is relative to `path` and stays below it, like '**/*'")
        if any("**" in part and part != "**" for part in parts):
            raise ValueError("'**' stands between slashes, like 'speakers/**/*_1*'")
        return pattern

    @field_validator("extensions")
    @classmethod
    def _dotted(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f".{extension.lower().lstrip('.')}" for extension in extensions)

    def portable(self) -> Self:
        """Return the task without its paths."""
        places = ("path", "manifest", "augment_room", "augment_noise")
        return self.model_copy(update=dict.fromkeys(places))

    def folder(self) -> Path:
        """Return `path`. Raises UsageError if it is not set, InputError if it is not a folder."""
        if self.path is None:
            raise UsageError(
                "the task has no data; name a folder of audio with -o task.path=FOLDER"
            )
        folder = self.path.expanduser()
        if not folder.exists():
            raise InputError(f"the folder {folder} does not exist; check -o task.path")
        if not folder.is_dir():
            raise InputError(
                f"{folder} is not a folder; set -o task.path to the folder of the file"
            )
        return folder

    def files(self) -> list[Path]:
        """Return the audio files below `path`, sorted by name.

        Hidden files and files in hidden folders are left out. Raises InputError when no file is
        left.
        """
        folder = self.folder()
        found = {}
        for file in folder.glob(self.pattern):
            relative = file.relative_to(folder)
            hidden = any(part.startswith(".") for part in relative.parts)
            if not hidden and file.suffix.lower() in self.extensions and file.is_file():
                found[file] = relative.as_posix()
        if not found:
            raise InputError(
                f"no audio in {folder}: no file matches {self.pattern!r} and ends in one of"
                f" {', '.join(self.extensions)}; check -o task.path, task.pattern, task.extensions"
            )
        return sorted(found, key=lambda file: found[file])

    def source(self) -> Source:
        """Return the source of the sounds. Raises InputError when there are none."""
        folder = self.folder()
        if not (folder / FACTS).exists():
            if self.manifest is None and next(folder.glob("*.tar"), None) is not None:
                raise InputError(
                    f"{folder} holds tar files without an index; write it with"
                    f" kernel shards --index {folder}"
                )
            return self._files(folder)
        if self.manifest is not None:
            raise UsageError(
                f"{folder} holds shards, which have their own index; leave -o task.manifest out"
            )
        return Shards(folder)

    def _files(self, folder: Path) -> Files:
        if self.manifest is None:
            return Files(folder, self.files())
        columns = (self.manifest_path, self.label_column)
        return read_manifest(self.manifest.expanduser(), folder, *columns)

    @property
    def label_column(self) -> str | None:
        """Return the manifest's column of labels, for tasks that have labels."""
        return None

    def read(
        self,
        source: Source,
        split: str,
        codes: Sequence[int] | None = None,
        vectors: Tensor | None = None,
    ) -> Dataset:
        """Return the sounds of a source in `split` as a data set.

        codes: for each sound of the source its row of `vectors` [K, V]. The split of a sound
        depends only on its name below `path`: added files do not move others. With
        `valid_fraction` 0 nothing is held out, and `valid` is empty. Raises UsageError for an
        unknown split, InputError with the name of every bad file.
        """
        from kernel_plugins.tasks._sounds import Sounds

        if split not in SPLITS:
            raise UsageError(
                f"there is no split {split!r}; choose train or valid{did_you_mean(split, SPLITS)}"
            )
        limit = self.valid_fraction * 2**64
        # Without a share there is nothing to look up, of perhaps millions.
        every = range(len(source.names) if split == "train" else 0)
        chosen: Sequence[int] = (
            every
            if not limit
            else [
                number
                for number, name in enumerate(source.names)
                if (hashed(name) < limit) == (split == "valid")
            ]
        )
        if not chosen and split == "train":
            raise InputError(
                f"all {len(source.names)} files in {source.place} are held out and none is left to"
                " train on; lower -o task.valid_fraction"
            )
        return Sounds(self, source, chosen, codes, vectors)

    def shard(self, out: Path | None, size: int) -> tuple[str, ...]:
        """Write the files into shards of about `size` bytes in a new folder `out`.

        Without `out`, write the index of the tar files in `path`. Returns sentences on the result.
        Raises InputError and OutputError.
        """
        if out is None:
            return (index_shards(self.folder(), self.extensions),)
        return write_shards(self._files(self.folder()), out, size, self.bad_files == "skip")

    def describe(self, data: Dataset) -> tuple[str, ...]:
        """Return sentences on the data: number, length and rates of the sounds; refused files."""
        return cast("Sounds", data).found()

    def lengths(self, data: Dataset) -> Sequence[int]:
        """Return the largest number of samples of each sound. Raises UsageError without a mask."""
        if not self.mask_padding:
            raise UsageError(
                "the padding of sounds is learnt as silence, so that no batch is shorter than"
                " others; set -o task.mask_padding=true"
            )
        return cast("Sounds", data).lengths()


def check_requests(name: str, inputs: Sequence[Path], count: int) -> None:
    """Raise UsageError when a task without inputs gets some, or `count` is below 1."""
    if inputs:
        raise UsageError(f"task {name!r} takes no input files and got {inputs[0]}; leave it out")
    if count < 1:
        raise UsageError(f"task {name!r} cannot make {count} sounds; ask for at least 1")


def numbered(index: int, count: int, label: str = "") -> str:
    """Return a file name that sorts by `index`, with the allowed characters of `label`."""
    width = max(2, len(str(count - 1)))
    safe = re.sub(r"[^\w.+-]+", "_", label)
    return f"{index:0{width}d}-{safe}" if safe else f"{index:0{width}d}"
