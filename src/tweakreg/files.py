"""Writing files so that a reader never sees half of one, and paths as a shell takes them."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tweakreg.errors import OutputError, logger

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logger(__name__)

#: With what the names of temporary folders begin.
_PREFIX = ".tweakreg-"


def at_home(path: str | Path) -> Path:
    """A path with its ``~`` replaced; an unknown user's home stays as it is, where `Path.expanduser` raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def expanded(path: str) -> Path:
    """A path as a shell would take it, without blanks around it."""
    return at_home(path.strip())


def is_file(path: str | Path) -> bool:
    """Whether a path is a file; False for one that no file can have, where `Path.is_file` raises."""
    return os.path.isfile(at_home(path))  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether a path is a folder, as `is_file`."""
    return os.path.isdir(at_home(path))  # noqa: PTH112


def shown(path: str | Path, longest: int = 200) -> str:
    """A path for a message: not the whole of one that is too long for any file."""
    text = str(path)
    return text if len(text) <= longest else f"{text[:longest]}..."


def exists(path: str | Path) -> bool:
    """Whether there is a file or folder; False for a path that none can have, where `Path.exists` raises."""
    return os.path.exists(path)  # noqa: PTH110


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
    """A temporary folder beside the target; at the end its files are moved into `directory`, all of them or none.

    An association is moved last: where it is, everything that it lists is. What is in the way of a move is kept until
    the last one is made. Folders that a killed run left behind are removed.

    Raises
    ------
    OutputError
        The folder cannot be written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _remove_left_over(directory)
        folder, lock = _claimed(directory)
    except OSError as error:
        raise OutputError(f"cannot write to {directory}: {error.strerror}") from error
    try:
        yield folder
        _move(sorted(folder.iterdir(), key=lambda path: (path.suffix == ".json", path.name)), directory)
    except OSError as error:
        raise OutputError(f"cannot write to {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def check_writable(directory: Path) -> None:
    """Make a folder and try whether files can be written to it; permissions do not tell that of every file system.

    Raises
    ------
    OutputError
        They cannot.
    """
    with staging(directory):
        pass


def _move(made: Sequence[Path], directory: Path) -> None:
    """Move files into a folder; whatever happens between two moves, those before it are taken back."""
    for path in made:
        if (directory / path.name).is_dir():
            raise OutputError(f"{directory / path.name} is a folder: remove it, or write elsewhere")
    if not made:
        return
    spare = Path(tempfile.mkdtemp(dir=made[0].parent))
    begun: list[tuple[Path, Path, Path | None]] = []
    try:
        for path in made:
            target = directory / path.name
            begun.append((path, target, _kept(target, spare)))
            path.replace(target)
    except BaseException:
        for path, target, old in reversed(begun):
            if not path.exists():
                _put_back(target, old)
        raise


def _kept(target: Path, spare: Path) -> Path | None:
    """A second name for a file that is about to be replaced; a copy where a disk has no such names."""
    if not os.path.lexists(target):
        return None
    old = spare / target.name
    try:
        os.link(target, old, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(target, old, follow_symlinks=False)
    return old


def _put_back(target: Path, old: Path | None) -> None:
    try:
        if old is None:
            target.unlink()
        else:
            old.replace(target)
    except OSError as error:
        log.error("%s could not be put back as it was: %s", target, error)


def _claimed(directory: Path) -> tuple[Path, int | None]:
    """A new temporary folder, and the lock by which other runs see that it is in use."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=directory, prefix=_PREFIX))
        try:
            lock = _lock(folder)
        except OSError:  # another run takes it for one that was left over
            continue
        if folder.exists():
            return folder, lock
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder, until the process ends at the latest; None where the file system knows no locks.

    Raises
    ------
    OSError
        Another process has locked it, or removed it.
    """
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_left_over(directory: Path) -> None:
    """Remove temporary folders whose process is dead: they are the ones that can be locked."""
    for folder in directory.glob(f"{_PREFIX}*"):
        if folder.is_symlink() or not folder.is_dir():
            continue
        try:
            lock = _lock(folder)
        except OSError:
            continue
        if lock is not None:
            log.info("%s was left by a run that was killed: removed", folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
