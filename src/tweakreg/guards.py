"""What a few wrong bytes would make the readers of other packages do without end, found before these are called."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from typing import IO, Any

#: Where asdf has numbers of axes, and how many a WCS may have.
_AXES = ("mapping", "n_inputs", "n_outputs", "n_dims")
_MOST_AXES = 100
#: HDUs of a FITS file: far more than two for each detector of any camera.
_MOST_HDUS = 2000
#: Bytes; see the FITS standard, section 3.1. A header of some 13,000 cards is none.
_FITS_BLOCK = 2880
_LONGEST_HEADER = 1 << 20
_MOST_HEADERS = 4 << 20
_END_CARD = re.compile(rb"END(?![A-Z0-9_-])")
_SIZE_CARD = re.compile(rb"(?<![A-Z0-9_-])(BITPIX|NAXIS\d{0,3}|PCOUNT|GCOUNT) *= *(-?\d{1,18})(?!\d)")
#: Bytes of the text of an ASDF file.
_LONGEST_TREE = 64 << 20
_BLOCK = b"\xd3BLK"
_TREE_END = re.compile(rb"\n\.\.\.\r?\n")

_AXES_KEY = re.compile(rb"\b(?:mapping|n_inputs|n_outputs|n_dims)\b")
#: What stands behind it in nearly all files: one or two digits, or a list of such numbers.
_FEW_AXES = re.compile(
    rb"""['"]?:(?:\ *\[\s*\d\d?(?:\s*,\s*\d\d?)*\s*\]|(?:\s*\n\s*-\ \d\d?(?=\s))+|\ *\d\d?)(?=\s*[,}\n\r])""",
    re.VERBOSE,
)


class EndlessError(ValueError):
    """What a file would have its readers do has no end, or nearly none."""


def check_headers(file: IO[bytes]) -> None:
    """Refuse a FITS file with a header of any length, before astropy looks for its end; the file is rewound.

    Parameters
    ----------
    file : file
        Open for reading bytes, not packed.

    Raises
    ------
    EndlessError
        A header, or all of them, is longer than any.
    """
    total = 0
    size: int | None = 0
    while size is not None and file.read(1):
        file.seek(-1, 1)
        header = _header(file)
        total += len(header)
        if total > _MOST_HEADERS:
            raise EndlessError(f"its headers are longer than {_MOST_HEADERS >> 20} MB")
        if (size := _size_of_data(header)) is not None:
            file.seek(size + -size % _FITS_BLOCK, 1)
    file.seek(0)


def _header(file: IO[bytes]) -> bytes:
    """One header, to its end or that of the file."""
    header = bytearray()
    while block := file.read(_FITS_BLOCK):
        header += block
        if any(_END_CARD.match(block, card) for card in range(0, len(block), 80)):
            break
        if len(header) > _LONGEST_HEADER:
            raise EndlessError(f"a header is longer than {_LONGEST_HEADER >> 20} MB")
    return bytes(header)


def _size_of_data(header: bytes) -> int | None:
    """Bytes behind a header, without what fills the last block; None if it does not say."""
    said = {key: int(value) for key, value in reversed(_SIZE_CARD.findall(header))}
    axes = [said.get(b"NAXIS%d" % (axis + 1), -1) for axis in range(min(said.get(b"NAXIS", -1), 999))]
    if b"NAXIS" not in said or b"BITPIX" not in said or min(axes, default=0) < 0:
        return None
    number = prod(axes) if axes else 0
    size = abs(said[b"BITPIX"]) // 8 * said.get(b"GCOUNT", 1) * (said.get(b"PCOUNT", 0) + number)
    return size if 0 <= size < 1 << 62 else None


def hdus_in_turn(hdus: Any) -> Iterator[Any]:
    """HDUs of a FITS file that was opened without reading them all.

    The data of a damaged one may have a negative size: astropy then finds the same HDU again, and so on.

    Parameters
    ----------
    hdus : HDUList
        The open file.

    Raises
    ------
    EndlessError
        An HDU is damaged or does not lie behind the one before it, or there are too many.
    """
    end = -1
    for number, hdu in enumerate(hdus):
        where = hdu.fileinfo() if hasattr(hdu, "fileinfo") else None
        if where is None or where["datSpan"] < 0 or where["hdrLoc"] <= end:
            raise EndlessError(f"the header of HDU {number} is damaged")
        if number >= _MOST_HDUS:
            raise EndlessError(f"it has more than {_MOST_HDUS} HDUs")
        end = where["hdrLoc"]
        yield hdu


def tree_text(file: IO[bytes], size: int = _LONGEST_TREE) -> bytes:
    """The text of an ASDF file, from where the file stands, without the blocks of numbers behind it.

    Parameters
    ----------
    file : file
        Open for reading bytes.
    size : int
        No more than so many are read.

    Raises
    ------
    EndlessError
        It is longer than any.
    """
    text = bytearray()
    while piece := file.read(min(1 << 18, size - len(text))):
        searched = max(len(text) - 8, 0)
        text += piece
        end = _TREE_END.search(text, searched)
        if end or _BLOCK in text[searched:]:
            return bytes(text[: end.end()] if end else text[: text.index(_BLOCK, searched)])
        if len(text) >= _LONGEST_TREE:
            raise EndlessError(f"the text of its tree is longer than {_LONGEST_TREE >> 20} MB")
    return bytes(text)


def check_tree(text: bytes) -> None:
    """Refuse a transform of any number of axes, which a digit too many makes: asdf would give each of them a name.

    Parameters
    ----------
    text : bytes
        Of an ASDF file.

    Raises
    ------
    EndlessError
        There is one.

    Notes
    -----
    The tree is only made of the text where a number of axes does not look like one: nearly never.
    """
    if all(_FEW_AXES.match(text, key.end()) for key in _AXES_KEY.finditer(text)):
        return
    import io

    import asdf.util

    _check_axes(asdf.util.load_yaml(io.BytesIO(text)), set())


def _check_axes(node: Any, seen: set[int]) -> None:
    """Look at every node once, as anchors of YAML may make very many ways to it."""
    if not isinstance(node, (Mapping, list)) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, Mapping):
        for key, value in node.items():
            counts = value if isinstance(value, list) else [value]
            if key in _AXES and any(isinstance(count, (int, float)) and count > _MOST_AXES for count in counts):
                raise EndlessError(f"a transform has more than {_MOST_AXES} axes")
    for value in node.values() if isinstance(node, Mapping) else node:
        _check_axes(value, seen)


def block_sizes(file: IO[bytes]) -> int:
    """Bytes that the blocks of an ASDF file have unpacked, as their heads say; the file stands behind the text.

    Parameters
    ----------
    file : file
        Open for reading bytes, where the first block begins.
    """
    total = 0
    while (head := file.read(54)).startswith(_BLOCK):
        length, allocated = int.from_bytes(head[4:6], "big"), int.from_bytes(head[14:22], "big")
        total += max(int.from_bytes(head[30:38], "big"), allocated)
        if allocated >= 1 << 62:
            break
        file.seek(length + 6 + allocated - len(head), 1)
    return total
