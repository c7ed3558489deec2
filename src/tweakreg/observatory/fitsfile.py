"""A copy of a FITS file with other headers, everything else byte by byte as it was."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

#: Bytes; see the FITS standard, section 3.1.
_BLOCK = 2880
_PIECE = 2**20


def rewrite_headers(source: Path, target: Path, headers: Sequence[Any]) -> None:
    """Copy a file, unpacked, with other headers where they differ.

    Parameters
    ----------
    source, target : Path
        The file, which may be packed with gzip, and the new one, which must be another.
    headers : sequence of astropy.io.fits.Header
        One for each extension, of the same data.
    """
    from astropy.io import fits

    with fits.open(source, memmap=False, disable_image_compression=True) as hdus:
        places = [hdu.fileinfo() for hdu in hdus]
        olds = [hdu.header for hdu in hdus]
    with _unpacked(source) as file, target.open("wb") as new:
        for place, old, header in zip(places, olds, headers, strict=True):
            file.seek(place["hdrLoc"])
            if old.tostring() == header.tostring():
                _copy(file, new, place["datLoc"] - place["hdrLoc"])
            else:
                file.seek(place["datLoc"])
                text = header.tostring(sep="", endcard=True, padding=True).encode("ascii")
                new.write(text + b" " * (-len(text) % _BLOCK))
            _copy(file, new, place["datSpan"])
        shutil.copyfileobj(file, new)


def _unpacked(source: Path) -> Any:
    with source.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(source) if packed else source.open("rb")


def _copy(file: IO[bytes], new: IO[bytes], size: int) -> None:
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        new.write(piece)
        size -= len(piece)
