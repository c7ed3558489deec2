"""Which custom catalog belongs to which exposure."""

from __future__ import annotations

import pytest

from helpers import write_association
from tweakreg import ModelLibrary
from tweakreg.errors import CatalogError
from tweakreg.observatory.catalogs import custom_catalogs, read_catfile


def test_catfile(tmp_path):
    (tmp_path / "cats.txt").write_text("\ufeff# comment\na_cal.fits  a.ecsv\nb_cal.fits\n\nc_cal.fits sub/c.ecsv # y\n")
    assert read_catfile(tmp_path / "cats.txt") == {
        "a_cal.fits": tmp_path / "a.ecsv",
        "b_cal.fits": None,
        "c_cal.fits": tmp_path / "sub/c.ecsv",
    }
    (tmp_path / "cats.txt").write_text("a b c\n")
    with pytest.raises(CatalogError, match="line 1 has 3 columns"):
        read_catfile(tmp_path / "cats.txt")


def test_catfile_hides_the_catalogs_of_the_association(folder, names):
    members = [{"expname": name, "exptype": "science", "tweakreg_catalog": "asn.ecsv"} for name in names[:2]]
    members[1]["tweakreg_catalog"] = ""
    library = ModelLibrary(write_association(folder / "asn.json", members))
    assert custom_catalogs(library, "") == {0: folder / "asn.ecsv", 1: None}
    (folder / "cats.txt").write_text(f"{names[0]} mine.ecsv\n")
    assert custom_catalogs(library, str(folder / "cats.txt")) == {0: folder / "mine.ecsv"}


def test_a_catfile_without_a_line_asks_for_sources_to_be_found(folder, names, caplog):
    (folder / "cats.txt").write_text("# none\n\n")
    library = ModelLibrary([folder / name for name in names[:2]])
    assert custom_catalogs(library, str(folder / "cats.txt")) == {0: None, 1: None}
    assert "cats.txt lists no exposure" in caplog.text


def test_a_catfile_that_is_no_text_and_names_that_match_nothing(folder, names, caplog):
    (folder / "cats.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(CatalogError, match="not a text file"):
        read_catfile(folder / "cats.txt")
    (folder / "cats.txt").write_text("\x1b[2Jnobody_cal.fits a.ecsv\n")
    custom_catalogs(ModelLibrary([folder / names[0]]), str(folder / "cats.txt"))
    assert "\x1b" not in caplog.text
    assert "nobody_cal.fits is not among the exposures" in caplog.text
