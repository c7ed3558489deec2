"""Reference catalogs from tables and files: formats, columns, cuts."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from catalogs import gaia_like, stars, taking
from tweakreg.errors import CatalogError
from tweakreg.reference.file import read_reference
from tweakreg.reference.table import table_of
from tweakreg.tables import write_parquet


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".ecsv", {}),
        (".fits", {}),
        (".csv", {}),
        (".parquet", {}),
        (".vot", {"format": "votable"}),
        (".txt", {"format": "ascii"}),
    ],
)
@pytest.mark.parametrize(
    ("ra", "dec"), [("RA", "DEC"), ("ra", "dec"), ("RA_ICRS", "DE_ICRS"), ("RAJ2000", "DEJ2000"), ("ra_deg", "dec_deg")]
)
def test_formats_and_spellings_of_positions(tmp_path, ending, options, ra, dec):
    path = tmp_path / f"stars{ending}"
    stars(ra, dec, mag=[15.0, 16.0, 17.0]).write(path, **options)
    catalog = read_reference(path)
    assert catalog.ra == pytest.approx([10.0, 10.1, 10.2])
    assert catalog.dec == pytest.approx([20.0, 20.1, 20.2])
    assert catalog.mag == pytest.approx([15.0, 16.0, 17.0])


@pytest.mark.parametrize(
    "names",
    [
        ("ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error", "parallax", "parallax_error"),
        ("e_RA_ICRS", "e_DE_ICRS", "pmRA", "pmDE", "e_pmRA", "e_pmDE", "Plx", "e_Plx"),
        ("RAERR", "DECERR", "pm_ra_cosdec", "pm_dec", "pmra_err", "pmdec_err", "plx", "parallax_err"),
    ],
)
@pytest.mark.parametrize("unit", [u.mas, u.arcsec, None])
def test_spellings_and_units_of_errors_and_motions(tmp_path, names, unit):
    scale = 1000.0 if unit is u.arcsec else 1.0
    values = dict(zip(names, (0.1, 0.2, 5.0, -6.0, 0.3, 0.4, 2.0, 0.5), strict=True))
    table = stars(ref_epoch=[2016.0] * 3)
    for name, value in values.items():
        table[name] = np.full(3, value / scale)
        if unit is not None:
            table[name].unit = unit / u.yr if "pm" in name.lower() else unit
    table.write(tmp_path / "stars.ecsv")
    catalog = read_reference(tmp_path / "stars.ecsv")
    assert catalog.motion[0] == pytest.approx([5.0, -6.0])
    assert catalog.parallax[0] == pytest.approx(2.0)
    assert np.sqrt(np.diagonal(catalog.covariance[0])) == pytest.approx([0.1, 0.2, 0.5, 0.3, 0.4])
    assert catalog.epoch[0] == 2016.0


@pytest.mark.parametrize(
    ("table", "selection", "message"),
    [
        (stars(), taking(x="alpha"), "no column refxcol = alpha; it has ra, dec"),
        (stars(), taking(y="7"), "no column refycol = 7"),
        (stars(), taking(brightest=2), "set rfluxcol"),
        (stars(f=["a", "b", "c"]), taking(flux="f", brightest=2), "column 'f' does not hold numbers"),
        (stars(mag=[1.0, 2.0, 3.0]), taking(max_flux=0.5), "none of its 3 rows"),
        (stars(ref_epoch=[1.0, 2.0, 3.0]), taking(), "column 'ref_epoch' does not hold years"),
        (stars(pmra=[1.0] * 3 * u.m, pmdec=[1.0] * 3), taking(), "column 'pmra' is in m"),
    ],
)
def test_a_bad_file_names_column_and_file(tmp_path, table, selection, message):
    table.write(tmp_path / "stars.ecsv")
    with pytest.raises(CatalogError, match=message) as caught:
        read_reference(tmp_path / "stars.ecsv", selection)
    assert "stars.ecsv" in str(caught.value)


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        (taking(brightest=2), [0, 1]),
        (taking(min_flux=15.5), [1, 2]),
        (taking(max_flux=16.5), [0, 1]),
        (taking(flux="counts", brightest=1), [2]),
        (taking(flux="4", min_flux=15.0, max_flux=25.0), [1]),
        (taking(flux="counts", magnitudes=True, brightest=1), [0]),
        (taking(max_ruwe=1.4), [0, 2]),
        (taking(drop_duplicates=True), [0, 1]),
        (taking(x="2", y="1"), [0, 1, 2]),
        (taking(units="hours"), [0, 1, 2]),
    ],
)
def test_selectors_of_columns_and_rows(tmp_path, selection, left):
    table = stars(mag=[15.0, 16.0, 17.0], counts=[10.0, 20.0, 30.0], ruwe=[1.0, 2.0, np.nan])
    table["duplicated_source"] = [False, False, True]
    table.write(tmp_path / "stars.ecsv")
    catalog = read_reference(tmp_path / "stars.ecsv", selection)
    first, second = ("dec", "ra") if selection.x else ("ra", "dec")
    hours = 15.0 if selection.units == "hours" else 1.0
    assert catalog.ra == pytest.approx(hours * np.array(table[first])[left])
    assert catalog.dec == pytest.approx(np.array(table[second])[left])


def test_nothing_is_lost_on_the_way_to_a_file_and_back(tmp_path):
    catalog = gaia_like(30, seed=3)
    table_of(catalog).write(tmp_path / "back.ecsv")
    write_parquet(table_of(catalog), tmp_path / "back.parquet")
    for ending in (".ecsv", ".parquet"):
        back = read_reference(tmp_path / f"back{ending}")
        for name in ("ra", "dec", "epoch", "motion", "parallax", "covariance", "mag"):
            assert getattr(back, name) == pytest.approx(getattr(catalog, name), rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(
    "table",
    [
        Table({"RA": [1.0, 2.0], "DEC": [3.0, 4.0]}),
        Table({"ra": [1.0, 2.0], "Dec": [3.0, 4.0], "weight": [1.0, 2.0]}),
        Table({"sky_centroid": SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg")}),
        Table({"Sky_Centroid": SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg"), "label": [1, 2]}),
    ],
    ids=lambda table: "-".join(table.colnames),
)
def test_reference_columns(tmp_path, table):
    table.write(tmp_path / "ref.ecsv")
    catalog = read_reference(tmp_path / "ref.ecsv")
    assert catalog.ra == pytest.approx([1.0, 2.0], abs=1e-12)
    assert catalog.dec == pytest.approx([3.0, 4.0], abs=1e-12)
    assert (catalog.weight is not None) == ("weight" in table.colnames)
    assert catalog.name == "ref.ecsv"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table({"x": [1.0]}), "needs columns RA and DEC"),
        (Table({"RA": [np.nan], "DEC": [1.0]}), "no row with a position"),
        (Table({"RA": [1.0], "ra": [1.0], "DEC": [1.0]}), "differ only in case"),
        (Table({"RA": [1.0], "DEC": [100.0]}), "beyond"),
        (Table({"RA": ["a"], "DEC": [1.0]}), "does not hold numbers"),
        (Table({"sky_centroid": [1.0]}), "does not hold sky coordinates"),
        (Table({"RA": [1.0], "DEC": [1.0], "weight": [-1.0]}), "negative"),
    ],
)
def test_broken_reference_catalogs(tmp_path, table, message):
    table.write(tmp_path / "ref.ecsv")
    with pytest.raises(CatalogError, match=message):
        read_reference(tmp_path / "ref.ecsv")


def test_reference_rows_without_position_are_left_out_and_said(tmp_path, caplog):
    Table({"RA": [1.0, np.nan], "DEC": [3.0, 4.0], "pmra": [0.0, 1.0]}).write(tmp_path / "ref.ecsv")
    assert len(read_reference(tmp_path / "ref.ecsv")) == 1
    assert "1 of 2 rows" in caplog.text
    assert "no row" not in caplog.text
