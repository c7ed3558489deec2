"""Reading table files that people bring: what is in a file decides, and not what it is called."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.table import Table

from tweakreg.errors import CatalogError, first_line
from tweakreg.guards import check_headers, hdus_in_turn
from tweakreg.process import silenced
from tweakreg.tabletrees import read_asdf, read_hdf5

#: Bytes of text, or of what a compressed file unpacks to, and rows. More is a mistake, or meant to fill the memory.
LARGEST = 256 * 2**20
MOST_ROWS = 10_000_000
#: Bytes of a line, in which readers look for columns.
_LONGEST = 2**20

_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_NO_TABLES = {
    b"PK\x03\x04": "is a spreadsheet or a zip file: save it as CSV, or unpack it",
    b"\x1f\x9d": "is compressed with compress: unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it",
    b"%PDF": "is a PDF file and no table",
    b"\x89PNG": "is a picture and no table",
}
#: Where astropy keeps units and metadata in a parquet file.
_YAML = b"table_meta_yaml"
#: Tables of a FITS_LDAC file: those with headers of images, and those with sources.
_LDAC_HEADERS = ("LDAC_IMHEAD", "FIELDS")
_LDAC_SOURCES = ("LDAC_OBJECTS", "OBJECTS")
#: Usual names of right ascension and declination, degrees.
RA_NAMES = (
    "RA", "ra_icrs", "raj2000", "_raj2000", "ra_deg", "radeg", "ramean", "alpha_j2000", "alphawin_j2000",
)  # fmt: skip
DEC_NAMES = (
    "DEC", "de_icrs", "dec_icrs", "dej2000", "decj2000", "_dej2000", "dec_deg", "decdeg", "dedeg", "decmean",
    "delta_j2000", "deltawin_j2000",
)  # fmt: skip
#: Usual names of pixels.
PIXEL_NAMES = tuple((axis, f"{axis}_psf", f"{axis}centroid", f"{axis}_centroid") for axis in "xy")
#: Names and UCDs of pairs of columns that are positions, in lower case.
_POSITIONS = (
    (
        {*(name.lower() for name in RA_NAMES), "rah", "pos.eq.ra"},
        {*(name.lower() for name in DEC_NAMES), "ded", "pos.eq.dec"},
    ),
    ({*PIXEL_NAMES[0], "pos.cartesian.x"}, {*PIXEL_NAMES[1], "pos.cartesian.y"}),
)
_SEXTRACTOR = re.compile(r"#\s*(\d+)\s+[A-Za-z]\w*")
_DAOPHOT = re.compile(r"\s*NL\s+NX\s+NY\s")
_DATUM = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\d+[:hd ]\s*\d+[:m ]\s*\d+(\.\d*)?s?")
_BYTE_BY_BYTE = "Byte-by-byte Description of file"
_PAGE = re.compile(r"\s*(<!--.*?-->\s*)?<\s*(!doctype\s+html|html|table)\b", re.IGNORECASE | re.DOTALL)
_TABLE = re.compile(r"<\s*table\b", re.IGNORECASE)
#: Letters of a text by which its format is found; of a page, and times the tables in it, that are read in seconds.
_TRIED = 2**17
_LONGEST_PAGE, _MOST_OF_PAGES = 2**20, 2**23
_ENDINGS = {".csv": "csv", ".html": "html", ".qdp": "qdp", ".rdb": "rdb", ".tdat": "tdat", ".tex": "latex"}


def read_table(path: str | Path) -> Table:
    """Read a table in any format that astropy knows, told by its content.

    Of a FITS_LDAC file the sources are read, and of other FITS files the first table. Columns of a list without
    header are called col1, col2, ... Nothing that a file refers to is fetched.

    Parameters
    ----------
    path : str or Path
        The file; it may be compressed with gzip, bzip2 or xz.

    Raises
    ------
    CatalogError
        The file cannot be read, or is no table, or is too large; with the reader's own reason.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CatalogError(path, "is no file: name a table")
        with path.open("rb") as file, silenced():
            return _read(file, path)
    except CatalogError:
        raise
    except FileNotFoundError as error:
        raise CatalogError(path, "the catalog does not exist") from error
    except (OSError, ValueError) as error:
        raise CatalogError(path, f"cannot be read: {getattr(error, 'strerror', None) or first_line(error)}") from error


def _read(file: IO[bytes], path: Path) -> Table:
    """The table in an open file, which may be compressed."""
    head = _head(file)
    for magic, unpack in _PACKED.items():
        if head.startswith(magic):
            with unpack(file) as unpacked:
                _check_size(unpacked, path, "unpacked")
                return _read_unpacked(unpacked, path)
    return _read_unpacked(file, path)


def _head(file: IO[bytes]) -> bytes:
    head = file.read(4096)
    file.seek(0)
    return head


def _check_size(file: IO[bytes], path: Path, how: str) -> None:
    """Refuse what is too large before any of it is kept."""
    size = rows = 0
    while piece := _piece(file, path):
        size, rows = size + len(piece), rows + piece.count(b"\n")
        if size > LARGEST or rows > MOST_ROWS:
            largest = f"{LARGEST >> 20} MB or {MOST_ROWS} rows"
            raise CatalogError(path, f"has more than {largest} {how}: cut it to the field, or save it as FITS")
    file.seek(0)


def _piece(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read(2**20)
    except (EOFError, OSError, lzma.LZMAError, ValueError, zlib.error) as error:
        raise CatalogError(path, f"cannot be unpacked: {first_line(error)}; is it complete?") from error


def _read_unpacked(file: IO[bytes], path: Path) -> Table:
    """Find the format, and give the reason of its reader where that fails."""
    head = _head(file)
    if not head:
        raise CatalogError(path, "is empty and not a table")
    for magic, problem in _NO_TABLES.items():
        if head.startswith(magic):
            raise CatalogError(path, problem)
    markup = head.replace(b"\x00", b"")
    read: Callable[[IO[bytes], Path], Table]
    if head.startswith(b"SIMPLE"):
        kind, read = "FITS table", _read_fits
    elif head.startswith(b"PAR1"):
        kind, read = "parquet file", _read_parquet
    elif head.startswith(b"\x89HDF"):
        kind, read = "HDF5 table", _bounded(read_hdf5)
    elif head.startswith(b"#ASDF"):
        kind, read = "ASDF table", _bounded(read_asdf)
    elif b"VOTABLE" in markup and b"<" in markup[:8]:
        kind, read = "VOTable", _read_votable
    else:
        kind, read = "table", _read_text
    try:
        return read(file, path)
    except CatalogError:
        raise
    except Exception as error:  # astropy's readers raise anything
        raise CatalogError(path, f"is not a {kind} that can be read: {first_line(error)[:300]}") from error


def _bounded(read: Callable[[IO[bytes], Path, int, int], Table]) -> Callable[[IO[bytes], Path], Table]:
    return lambda file, path: read(file, path, MOST_ROWS, LARGEST)


def _read_fits(file: IO[bytes], path: Path) -> Table:
    from astropy.io import fits

    size = file.seek(0, 2)
    file.seek(0)
    check_headers(file)
    with fits.open(file, memmap=False, lazy_load_hdus=True) as opened:
        hdus = list(hdus_in_turn(opened))
        tables = [hdu for hdu in hdus if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
        ends = [hdu.fileinfo()["datLoc"] + hdu.size for hdu in hdus]
        if max(ends) > size:
            raise CatalogError(path, f"is cut short: {size} of at least {max(ends)} bytes are there")
        chosen = _chosen_table(tables, path)
        if chosen is None:
            cut = ", and is cut short" if size % 2880 else ""
            raise CatalogError(path, f"holds no table{cut}; an image as reference is set as refimage")
        if chosen.header["NAXIS2"] > MOST_ROWS:
            raise CatalogError(path, f"has more than {MOST_ROWS} rows: cut it to the field")
        stored = chosen.data.view(np.ndarray)
        # Rows of a column of arrays may share the bytes of one.
        arrays = [
            name for name, kind in zip(stored.dtype.names, chosen.columns.formats, strict=True) if kind[0] in "PQ"
        ]
        if sum(int(stored[name][:, 0].sum(dtype=float)) for name in arrays) > LARGEST // 8:
            raise CatalogError(path, f"columns {listed(arrays)} hold too many values: leave them out")
        return Table.read(chosen, format="fits")


def _chosen_table(tables: list[Any], path: Path) -> Any:
    """The table with sources of a FITS file; None if there is none."""
    sources = [hdu for hdu in tables if hdu.name in _LDAC_SOURCES]
    if len(sources) > 1:
        problem = f"holds {len(sources)} tables {sources[0].name}, one per detector: write a file for each"
        raise CatalogError(path, problem)
    others = [hdu for hdu in tables if hdu.name not in _LDAC_HEADERS and hdu.columns.names != ["Field Header Card"]]
    return next(iter(sources or others), None)


def _read_parquet(file: IO[bytes], path: Path) -> Table:
    """As `read_parquet`; its numbers and texts may be far more than its bytes, of which each may stand for many."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    about = pq.ParquetFile(file)
    flat = [each for each in about.schema_arrow if not pa.types.is_nested(each.type)]
    texts = [each.name for each in flat if not pa.types.is_primitive(each.type)]
    if about.metadata.num_rows > MOST_ROWS or about.metadata.num_rows * len(flat) > 20 * MOST_ROWS:
        raise CatalogError(path, f"has more than {MOST_ROWS} rows or too many columns: cut it to the field")
    if sum(about.metadata.row_group(i).total_byte_size for i in range(about.num_row_groups)) > 8 * LARGEST:
        raise CatalogError(path, f"has more than {LARGEST >> 17} MB unpacked: cut it to the field")
    kept = pq.ParquetFile(file, read_dictionary=texts).read(columns=texts)
    for column in kept.columns:
        for piece in column.chunks if pa.types.is_dictionary(column.type) else ():
            lengths = pc.binary_length(piece.dictionary).take(piece.indices)
            if (pc.max(lengths).as_py() or 0) * len(piece) > LARGEST:
                raise CatalogError(path, f"has more than {LARGEST >> 20} MB of text: leave out such columns")
    return read_parquet(file, [each.name for each in flat])


def _read_votable(file: IO[bytes], path: Path) -> Table:
    from astropy.io import votable
    from astropy.utils.xml.iterparser import get_xml_iterator

    tables, depth = 0, 1
    _check_size(file, path, "of text")
    with get_xml_iterator(file) as events:
        for start, tag, data, _ in events:
            name = tag.rpartition(":")[2]
            if start and name == "STREAM" and "href" in data:
                raise CatalogError(path, f"its rows are at {data['href']} and are not fetched: save it with its rows")
            if start and name == "FIELD":
                for length in re.findall(r"\d+", data.get("arraysize", "")):
                    depth = max(depth, int(length))
            if start and name == "TABLE":
                tables += "ref" not in data
                depth = max(depth, int(data.get("nrows") or 0))
    if depth > MOST_ROWS:
        raise CatalogError(path, f"has more than {MOST_ROWS} rows, or values in one of them: cut it to the field")
    file.seek(0)
    found = list(votable.parse(file, verify="ignore").iter_tables()) if tables else []
    if len(found) > 1:
        found = [each for each in found if _has_positions(each)]
    if len(found) != 1:
        with_positions = f", {len(found)} of them with positions" if tables > 1 else ""
        problem = f"holds {tables} tables{with_positions}: save the one that is meant in a file of its own"
        raise CatalogError(path, problem)
    return found[0].to_table(use_names_over_ids=True)


def _has_positions(table: Any) -> bool:
    """Whether the columns of a table in a VOTable are positions on the sky or pixels, by their names or UCDs."""
    said = {
        name.lower() for each in table.fields for name in (each.name, each.ID, str(each.ucd).partition(";")[0]) if name
    }
    return any(said & first and said & second for first, second in _POSITIONS)


def _read_text(file: IO[bytes], path: Path) -> Table:
    """A table of text: its first line says of some what they are, its name of others, and others are tried."""
    _check_size(file, path, "of text")
    text = _decoded(file.read(), path)
    first = text.lstrip().partition("\n")[0]
    if any("\n" not in text[start : start + _LONGEST] for start in range(0, len(text) - _LONGEST, _LONGEST)):
        raise CatalogError(path, f"is no table: a line of it is longer than {_LONGEST >> 20} MB")
    if first.startswith("# %ECSV"):
        return _parsed(text, "ecsv")
    if first.startswith(("#K ", "#N ")):
        return _parsed(text, "daophot")
    if _DAOPHOT.match(first):
        return _parsed(text.lstrip().split("\n", 2)[2], "no_header")
    if _PAGE.match(text):
        return _parsed(text, "html")
    if _BYTE_BY_BYTE in text[:_TRIED]:
        return _parsed(text, "cds")
    numbered = _SEXTRACTOR.match(first)
    if numbered:
        if numbered[1] != "1":
            raise CatalogError(path, f"its header numbers columns from {numbered[1]}: number them from 1")
        return _parsed(text, "sextractor")
    reason = None
    for kind in dict.fromkeys((_ENDINGS.get(path.suffix.lower()), None)):
        try:
            return _with_names(_parsed(text, kind), text)
        except Exception as error:  # the guess of the wrong kind says nothing
            reason = error if kind else reason
    if reason is not None:
        raise reason
    # What a guess says is a list of what was tried.
    return _parsed(text, "basic")


def _decoded(data: bytes, path: Path) -> str:
    """Text as Python has it, from any system's editor; with a line end, without which astropy takes it for a name."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\x00" in text:
        raise CatalogError(path, "is no table: neither text nor a format that is known")
    if not text.strip():
        raise CatalogError(path, "is empty and not a table")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else f"{text}\n"


def _parsed(text: str, kind: str | None, **options: Any) -> Table:
    """A table of one kind, or of whichever its beginning is."""
    from astropy.io import ascii

    if kind is None:
        kind, options = _found_kind(text)
    if kind == "html":
        _check_page(text)
    return ascii.read(text, format=kind, guess=False, **options)


def _check_page(text: str) -> None:
    if not _PAGE.match(text):
        raise ValueError("it has the ending of a page, and does not begin as one")
    if len(text) > _LONGEST_PAGE or len(text) * len(_TABLE.findall(text)) > _MOST_OF_PAGES:
        raise ValueError("the page is too large, or has too many tables: save the one that is meant as CSV")


def _found_kind(text: str) -> tuple[str, dict[str, Any]]:
    """Format and options of a text, of which only the beginning is tried: some formats take the square of the time."""
    from astropy.io import ascii

    if _TABLE.search(text, 0, _TRIED):  # of this astropy would make a page
        return "basic", {}
    end = text.rfind("\n", 0, _TRIED) + 1 or text.index("\n") + 1
    ascii.read(text[:end], guess=True)
    options = dict(ascii.get_read_trace()[-1]["kwargs"])
    reader = options.pop("reader_cls", None)
    return getattr(reader, "_format_name", "basic"), options


def _with_names(table: Table, text: str) -> Table:
    """The same with another delimiter, or without header, if its names tell that it was misread."""
    names = table.colnames
    delimiter = ","
    if names[0] == "col1" and "," in text and not any(_DATUM.fullmatch(str(each)) for each in table[:1].as_array()[0]):
        table = _parsed(text, "csv")
    if len(names) == 1 and (found := [each for each in ";\t|" if each in names[0]]):
        delimiter = found[0]
        if delimiter == ";" and re.search(r"\d,\d", text) and not re.search(r"\d\.\d", text):
            text = text.replace(",", ".")
        table = _parsed(text, "csv", delimiter=delimiter)
        names = table.colnames
    counted = names == [str(number) for number in range(len(names))]
    if not counted and any(_DATUM.fullmatch(name) for name in names):
        return _without_header(text, len(names), delimiter)
    if names[0].startswith("#") and names[0].strip("# "):
        table.rename_column(names[0], names[0].strip("# "))
    return table


def _without_header(text: str, number: int, delimiter: str) -> Table:
    """A list whose first line is a star."""
    for each in (delimiter, ",", " ", "\t", "|"):
        table = _parsed(text, "no_header", delimiter=each)
        if len(table.colnames) == number:
            return table
    raise ValueError(f"its columns cannot be told apart: {listed(table.colnames)}")


def read_parquet(source: str | Path | IO[bytes], columns: Sequence[str] | None = None) -> Table:
    """Read a parquet file; units and metadata where astropy, or `write_parquet`, wrote them.

    Astropy's own reader needs pandas as well.

    Parameters
    ----------
    source : str, Path or file
        Where it is, or the open file.
    columns : sequence of str, optional
        Which are read; all if it is not given.
    """
    import pyarrow.parquet as pq
    from astropy.table import meta

    found = pq.read_table(source, columns=columns)
    table = Table({name: plain_column(found[name]) for name in found.column_names})
    text = (found.schema.metadata or {}).get(_YAML)
    if text is not None:
        header = meta.get_header_from_yaml(text.decode("utf-8").splitlines())
        table.meta = dict(header.get("meta", {}))
        for column in header["datatype"]:
            if column["name"] in table.colnames:
                table[column["name"]].unit = column.get("unit")
    return table


def plain_column(column: Any) -> Any:
    """A column of arrow as an array; nulls of integers and truth values as text, which keeps them apart from both."""
    if column.null_count and not str(column.type).startswith(("float", "double", "halffloat")):
        return np.array([str(value) for value in column.to_pylist()])
    return column.to_numpy()


def write_parquet(table: Table, path: str | Path) -> None:
    """Write a parquet file as astropy does, with units and metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy.table import meta

    columns = pa.table(
        {name: np.ma.filled(np.ma.asarray(table[name]), _nothing(table[name])) for name in table.colnames}
    )
    text = "\n".join(meta.get_yaml_from_table(table)).encode("utf-8")
    pq.write_table(columns.replace_schema_metadata({_YAML: text}), path)


def _nothing(column: Any) -> Any:
    """What stands for a missing value."""
    return np.nan if np.issubdtype(column.dtype, np.floating) else None


def listed(names: Sequence[str]) -> str:
    """Names of columns for a message, which must not be as long as a table is wide."""
    some = ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names[:20])
    return some + (f" and {len(names) - 20} others" if len(names) > 20 else "")
