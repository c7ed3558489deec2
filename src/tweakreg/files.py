"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tweakreg.errors import OutputError


def expanded(path: str) -> Path:
    """A path as a shell would take it; an unknown user's home stays as it is, where `Path.expanduser` raises."""
    return Path(os.path.expanduser(path.strip()))  # noqa: PTH111


def why_unreadable(path: Path) -> str:
    """Why a file cannot be read; empty if it can. `Path.is_file` raises for some reasons and hides others."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "is no file"
        with path.open("rb"):
            return ""
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"


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
