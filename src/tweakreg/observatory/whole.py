"""Whether a file is all there: downloads break off, and servers answer with pages."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

from tweakreg.errors import InputError, first_line
from tweakreg.guards import EndlessError, check_headers, check_tree, hdus_in_turn, tree_text
from tweakreg.process import recorded

_AGAIN = "the download is broken: fetch the file again"
#: How pages and the messages of services begin.
_PAGES = (b"<", b"{")
#: Bytes; see the FITS standard, section 3.1.
_BLOCK = 2880
_GZIP = b"\x1f\x8b"
_ASDF = b"#ASDF"
_XTENSION = b"XTENSION"


def check_whole(path: str | Path) -> None:
    """Refuse an exposure of which a part is missing, or a page under its name; headers are read, no pixels.

    Parameters
    ----------
    path : str or Path
        A FITS or ASDF file; what is elsewhere is not looked at.

    Raises
    ------
    InputError
        It says so.
    """
    if "://" in str(path):
        return
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            start = file.read(512)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be read: {reason}") from error
    if not start.strip(b"\0 \n"):
        raise InputError(path, f"is empty; {_AGAIN}")
    if start.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(_PAGES) and not str(path).endswith(".json"):
        raise InputError(path, f"holds a page or a message of a server and no exposure; {_AGAIN}")
    if start.startswith(_GZIP) and not _ends(Path(path)):
        raise InputError(path, f"ends too early; {_AGAIN}")
    if start.startswith(_ASDF):
        _check_tree_of(path)
    needed = _needed_size(path, size) if start.startswith((b"SIMPLE", _GZIP)) else 0
    if start.startswith(b"SIMPLE") and size < needed:
        raise InputError(path, f"has {size} bytes and should have {needed} or more; {_AGAIN}")


def _ends(path: Path) -> bool:
    """Whether a gzip file is complete: its last bytes are the number of bytes in it, and FITS files come in blocks."""
    with path.open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(), "little") % _BLOCK == 0:
            return True
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return True


def _needed_size(path: str | Path, size: int) -> int:
    """Bytes that the headers of a FITS file speak of; 0 where they cannot be read, which is told by who opens it."""
    from astropy.io import fits

    try:
        with Path(path).open("rb") as file:
            packed = file.read(2) == _GZIP
        opener: Any = gzip.open if packed else open
        with opener(path, "rb") as file:
            check_headers(file)
        with recorded(), fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
            for last in hdus_in_turn(hdus):
                if last.name == "ASDF":
                    _check_embedded(last)
            where = last.fileinfo()
            end, padded = where["datLoc"] + last.size, where["datLoc"] + where["datSpan"]
    except EndlessError as error:
        raise unreadable(path, error, "cannot be opened") from error
    except Exception:
        return 0
    if size <= padded:
        return int(end)
    with Path(path).open("rb") as file:
        file.seek(padded)
        cut_off = file.read(len(_XTENSION)) in {_XTENSION[:n] for n in range(1, len(_XTENSION) + 1)}
    return size + 1 if cut_off else int(end)


def _check_embedded(hdu: Any) -> None:
    """As `_check_tree_of`, for the tree in an HDU; what else is wrong with it is told by who opens it."""
    try:
        check_tree(tree_text(io.BytesIO(hdu.data.tobytes())))
    except EndlessError:
        raise
    except Exception:
        return


def _check_tree_of(path: str | Path) -> None:
    """Refuse an ASDF file that would never be opened; others are told by who opens them."""
    try:
        with Path(path).open("rb") as file:
            check_tree(tree_text(file))
    except EndlessError as error:
        raise unreadable(path, error, "cannot be opened") from error
    except Exception:
        return


def unreadable(path: object, error: Exception, problem: str) -> InputError:
    """What to say of a file that another package cannot read.

    Parameters
    ----------
    path : object
        The file.
    error : Exception
        What the package says.
    problem : str
        What it means.
    """
    reason = first_line(error).strip("'\"").split(" If this is really a FITS file")[0]
    if isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile)):
        reason = f"{reason}; {_AGAIN}"
    elif "SIMPLE" in reason or "'ASDF' not found" in reason:
        reason = f"{reason.rstrip('.')}; is the download complete?"
    return InputError(path, f"{problem} ({reason})")
