"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tweakreg.errors import OutputError


def expanded(path: str) -> Path:
    """A path as a shell would take it; an unknown user's home stays as it is, where `Path.expanduser` raises."""
    return Path(os.path.expanduser(path.strip()))  # noqa: PTH111


def is_file(path: str) -> bool:
    """Whether there is a file; a name that none can have is no error, as it is to `Path.is_file`."""
    return os.path.isfile(expanded(path))  # noqa: PTH113


def is_folder(path: str) -> bool:
    """Whether there is a folder, as `is_file`."""
    return os.path.isdir(expanded(path))  # noqa: PTH112


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """A temporary folder beside the target; at the end its files are moved into `directory`.

    An association is moved last: where it is, everything that it lists is.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=directory, prefix=".tweakreg-")
    except OSError as error:
        raise OutputError(f"cannot write to {directory}: {error.strerror}") from error
    with temporary as name:
        try:
            yield Path(name)
        except OSError as error:
            raise OutputError(f"cannot write to {directory}: {error}") from error
        made = sorted(Path(name).iterdir(), key=lambda path: (path.suffix == ".json", path.name))
        for path in made:
            if (directory / path.name).is_dir():
                raise OutputError(f"{directory / path.name} is a folder: remove it, or write elsewhere")
        try:
            for path in made:
                path.replace(directory / path.name)
        except OSError as error:
            raise OutputError(f"cannot write to {directory}: {error}") from error
