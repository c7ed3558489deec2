"""Table files as people have them: what is read, what is refused, and with what reason."""

from __future__ import annotations

import bz2
import gzip
import http.server
import lzma
import sys
import threading
from pathlib import Path

import asdf
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table

from tweakreg import tablefiles
from tweakreg.corrections.file import read_correction
from tweakreg.errors import CatalogError, CorrectionError, ParameterFileError
from tweakreg.reference.file import read_reference
from tweakreg.steppars import parameter_file
from tweakreg.tablefiles import read_table

STARS = "RA,DEC\n80.1,-69.1\n80.2,-69.2\n"
DAOPHOT = " NL   NX   NY  LOWBAD\n  1 2048 2048   -50.0\n\n"
IRAF = "#K IRAF = X version %-23s\n#N RA DEC \\\n#U deg deg \\\n#F %-5.3f %-6.3f \\\n#\n"
SEXTRACTOR = "# 1 RA degrees [deg]\n# 2 DEC degrees [deg]\n"
ROWS = "80.1 -69.1\n80.2 -69.2\n"


@pytest.mark.parametrize(
    ("name", "content", "names"),
    [
        ("a.csv", STARS.encode("utf-8-sig"), ["RA", "DEC"]),
        ("a.txt", STARS.encode("utf-8-sig"), ["RA", "DEC"]),
        ("a.csv", STARS.encode("utf-16"), ["RA", "DEC"]),
        ("a.csv", STARS.replace("\n", "\r").encode(), ["RA", "DEC"]),
        ("a.csv", (STARS + "# caf\u00e9\n").encode("latin-1")[:-7], ["RA", "DEC"]),
        ("a.csv", STARS.replace(",", ";").replace(".", ",").encode(), ["RA", "DEC"]),
        ("a.csv", STARS.replace(",", "\t").encode(), ["RA", "DEC"]),
        ("a.csv", b"#" + STARS.encode(), ["RA", "DEC"]),
        ("a.csv", b"# made by hand\n" + STARS.encode(), ["RA", "DEC"]),
        ("a.csv", b",RA,DEC\n0,80.1,-69.1\n1,80.2,-69.2\n", ["col0", "RA", "DEC"]),
        ("a.dat", b",RA,DEC\n0,80.1,-69.1\n1,80.2,-69.2\n", ["col0", "RA", "DEC"]),
        ("a.csv", STARS[7:].encode(), ["col1", "col2"]),
        ("a.txt", ROWS.encode(), ["col1", "col2"]),
        ("a.coo", b"# x y\n" + ROWS.replace(" ", "  ").encode(), ["x", "y"]),
        ("a.txt", b"05:20:24 -69:06:00\n05:20:48 -69:12:00\n", ["col1", "col2"]),
        ("a.csv", b"05 20 24,-69 06 00\n05 20 48,-69 12 00\n", ["col1", "col2"]),
        ("a.coo", (DAOPHOT + ROWS).encode(), ["col1", "col2"]),
        ("a.coo", (IRAF + ROWS).encode(), ["RA", "DEC"]),
        ("a.cat", (SEXTRACTOR + ROWS).encode(), ["RA", "DEC"]),
        ("a.csv.gz", gzip.compress(STARS.encode(), mtime=0), ["RA", "DEC"]),
        ("a.csv.bz2", bz2.compress(STARS.encode()), ["RA", "DEC"]),
        ("a.xz", lzma.compress(STARS.encode()), ["RA", "DEC"]),
    ],
)
def test_texts_of_other_programs(tmp_path, name, content, names):
    (tmp_path / name).write_bytes(content)
    table = read_table(tmp_path / name)
    assert table.colnames == names
    assert len(table) == 2


@pytest.mark.parametrize("names", [("LDAC_IMHEAD", "LDAC_OBJECTS"), ("FIELDS", "OBJECTS"), ("OBJECTS", "FIELDS")])
def test_the_sources_of_an_ldac_file(tmp_path, names):
    tables = {"H": Table({"Field Header Card": ["END"]}), "O": Table({"X_IMAGE": [1.0, 2.0]})}
    hdus = [fits.BinTableHDU(tables["O" if "OBJECTS" in name else "H"], name=name) for name in names]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.cat")
    assert read_table(tmp_path / "a.cat").colnames == ["X_IMAGE"]
    fits.HDUList([fits.PrimaryHDU(), *hdus, *hdus]).writeto(tmp_path / "two.cat")
    with pytest.raises(CatalogError, match=r"2 tables (LDAC_)?OBJECTS"):
        read_table(tmp_path / "two.cat")


def _two_tables(path, second="info"):
    both = from_table(Table({"RA": [1.0], "DEC": [2.0]}))
    both.resources[0].tables.append(from_table(Table({second: [1], "DEC": [2]})).resources[0].tables[0])
    both.to_xml(str(path))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: b"", "is empty"),
        (lambda path: bytes(range(256)), "neither text nor a format"),
        (lambda path: b"my notes\nare no table at all:\n1 2 3\n", "inconsistent with data columns"),
        (lambda path: b"# %ECSV 1.0\n# ---\n# datatype: [\nRA\n1\n", "ECSV|YAML|yaml|header|unable"),
        (lambda path: b"# 0 RA\n# 1 DEC\n1 2\n", "numbers columns from 0"),
        (lambda path: b"PK\x03\x04" + bytes(40), "spreadsheet"),
        (lambda path: b"PAR1" + bytes(40), "Parquet magic bytes not found"),
        (lambda path: gzip.compress(STARS.encode() * 99)[:40], "cannot be unpacked"),
        (lambda path: b"1" * 2**22, "a line of it is longer"),
        (lambda path: _two_tables(path, "RAJ2000"), "holds 2 tables, 2 of them with positions"),
        (lambda path: b"<html><table><tr><td>1\n" + b"<table>" * 9999, "too many tables"),
        (lambda path: b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    ],
)
def test_the_reason_arrives(tmp_path, make, reason):
    content = make(tmp_path / "made")
    (tmp_path / "bad.cat").write_bytes(content)
    with pytest.raises(CatalogError, match=f"bad.cat: .*({reason})"):
        read_table(tmp_path / "bad.cat")


def test_a_fits_table_that_is_cut_short(tmp_path):
    Table({"RA": np.arange(5000.0)}).write(tmp_path / "a.fits")
    whole = (tmp_path / "a.fits").read_bytes()
    for size, reason in ((20000, "cut short: 20000 of"), (4000, "cut short"), (2880, "no table")):
        (tmp_path / "a.fits").write_bytes(whole[:size])
        with pytest.raises(CatalogError, match=reason):
            read_table(tmp_path / "a.fits")


@pytest.mark.parametrize("name", [".", "none.csv", "nul\0.csv", "a" * 300])
def test_names_that_are_no_file(tmp_path, name):
    with pytest.raises(CatalogError):
        read_table(tmp_path / name)


def test_files_that_may_not_be_read_are_refused_with_the_reason(tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "a.asdf").write_text("x")
    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "iterdir", refuse)
    monkeypatch.setenv("TWEAKREG_PARS", str(tmp_path))
    for read, error in ((read_table, CatalogError), (read_correction, CorrectionError)):
        with pytest.raises(error, match="cannot be read: Permission denied"):
            read(tmp_path / "a.asdf")
    with pytest.raises(ParameterFileError, match=r"TWEAKREG_PARS.*Permission denied"):
        parameter_file({})


def test_nothing_is_fetched(tmp_path):
    asked = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for prefix in ("", "v:"):
            stream = f'<{prefix}STREAM href="http://127.0.0.1:{server.server_port}/x"/>'
            table = f"<TABLE><DATA><BINARY>{stream}</BINARY></DATA></TABLE>"
            (tmp_path / "a.xml").write_text(f'<VOTABLE xmlns:v="v"><RESOURCE>{table}</RESOURCE></VOTABLE>')
            with pytest.raises(CatalogError, match="not fetched"):
                read_table(tmp_path / "a.xml")
        server.shutdown()
    assert not asked


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_what_is_too_large_is_refused_before_it_is_kept(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(tablefiles, "LARGEST", 10_000)
    (tmp_path / "a.csv").write_bytes(pack(STARS.encode() * 1000))
    with pytest.raises(CatalogError, match="cut it to the field"):
        read_table(tmp_path / "a.csv")


def test_parquet_that_is_larger_than_it_looks(tmp_path, monkeypatch):
    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1000, dtype="i4")), pa.array(["x" * 1000]))
    pq.write_table(pa.table({"RA": np.zeros(1000), "name": name}), tmp_path / "a.parquet")
    assert len(read_table(tmp_path / "a.parquet")) == 1000
    monkeypatch.setattr(tablefiles, "LARGEST", 100_000)
    with pytest.raises(CatalogError, match="of text"):
        read_table(tmp_path / "a.parquet")
    monkeypatch.setattr(tablefiles, "MOST_ROWS", 900)
    with pytest.raises(CatalogError, match="900 rows"):
        read_table(tmp_path / "a.parquet")


def test_fits_rows_that_share_their_bytes(tmp_path, monkeypatch):
    values = np.empty(2, dtype=object)
    values[:] = [np.zeros(1000), np.zeros(1000)]
    columns = [fits.Column("RA", "D", array=[1.0, 2.0]), fits.Column("v", "PD()", array=values)]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "a.fits")
    assert len(read_table(tmp_path / "a.fits")) == 2
    monkeypatch.setattr(tablefiles, "LARGEST", 10_000)
    with pytest.raises(CatalogError, match="columns v hold too many values"):
        read_table(tmp_path / "a.fits")


def test_no_message_has_codes_for_a_terminal(tmp_path):
    path = tmp_path / "a\x1b[2J.csv"
    path.write_bytes(b"\x1b[2J\x1b]0;owned\x07,b\n1,2\n")
    with pytest.raises(CatalogError) as caught:
        read_reference(path)
    assert str(caught.value).isprintable()
    assert str(caught.value).count("\\x1b[2J") == 2


def test_the_table_with_positions_of_a_votable(tmp_path):
    (tmp_path / "a.vot").write_bytes(_two_tables(tmp_path / "made"))
    assert read_table(tmp_path / "a.vot").colnames == ["RA", "DEC"]


def test_of_a_long_text_the_beginning_tells_the_format(tmp_path):
    rows = "".join(f"{row}|{row + 0.5}\n" for row in range(30_000))
    (tmp_path / "a.txt").write_text(f"RA|DEC\n{rows}")
    assert read_table(tmp_path / "a.txt")["DEC"][-1] == 29_999.5


def test_a_fits_file_whose_headers_have_no_end(tmp_path):
    """A damaged header, packed, is found again and again behind itself; a text of any length may stand for one."""
    Table({"RA": [1.0]}).write(tmp_path / "a.fits")
    whole = (tmp_path / "a.fits").read_bytes()
    damaged = whole.replace(b"  T / conforms", b" \x00T / conforms", 1)
    for name, content, reason in (
        ("b.fits", gzip.compress(damaged), "header of HDU 0 is damaged"),
        ("c.fits", whole + b"XTENSION= " + b" " * 2**21, "a header is longer than 1 MB"),
        ("d.fits", whole + whole[2880:5760].replace(b"END", b"   ") * 2000, "a header is longer than 1 MB"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CatalogError, match=reason):
            read_table(tmp_path / name)


def test_asdf_tables(tmp_path, monkeypatch):
    table = Table({"RA": [1.0, 2.0], "name": ["a", "b"]})
    asdf.AsdfFile({"stars": table, "n": 1}).write_to(tmp_path / "a.asdf")
    assert read_table(tmp_path / "a.asdf")["RA"].tolist() == [1.0, 2.0]
    content = (tmp_path / "a.asdf").read_bytes()
    (tmp_path / "b.asdf").write_bytes(content.replace(b"shape: [2]", b"shape: [99999999999]", 1))
    with pytest.raises(CatalogError, match="cut it to the field"):
        read_table(tmp_path / "b.asdf")
    asdf.AsdfFile({"a": table, "b": table.copy()}).write_to(tmp_path / "c.asdf")
    with pytest.raises(CatalogError, match="holds 2 tables"):
        read_table(tmp_path / "c.asdf")
    asdf.AsdfFile({"data": Table({"RA": np.zeros(9999)})}).write_to(tmp_path / "d.asdf", all_array_compression="zlib")
    monkeypatch.setattr(tablefiles, "LARGEST", 10_000)
    with pytest.raises(CatalogError, match="cut it to the field"):
        read_table(tmp_path / "d.asdf")


def test_hdf5_tables(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    Table({"RA": [1.0, 2.0]}).write(tmp_path / "a.h5", path="stars")
    assert read_table(tmp_path / "a.h5")["RA"].tolist() == [1.0, 2.0]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("t", (10**12,), dtype=[("RA", "f8")], chunks=(1000,))
    with pytest.raises(CatalogError, match="cut it to the field"):
        read_table(tmp_path / "b.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CatalogError, match="install h5py to read it, or save it as ECSV"):
        read_table(tmp_path / "a.h5")
