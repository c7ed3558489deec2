"""Reference catalogs from tables and files: formats, columns, cuts."""

from __future__ import annotations

import time

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Angle, SkyCoord
from astropy.table import Table

from catalogs import gaia_like, stars, taking
from tweakreg.errors import CatalogError
from tweakreg.reference.file import read_reference
from tweakreg.reference.table import table_of
from tweakreg.tables import sky_positions, write_parquet


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


RA, DEC = np.array([80.1, 80.2]), np.array([-69.1, -69.2])
SKY = SkyCoord(RA, DEC, unit="deg")


@pytest.mark.parametrize("units", ["degrees", "hours"])
@pytest.mark.parametrize(
    "columns",
    [
        {"RA": RA / 15.0 * u.hourangle, "DEC": DEC * u.deg},
        {"RA": RA / 15.0 * u.h, "DEC": DEC * u.deg},
        {"RA": RA * u.deg, "DEC": DEC * u.deg},
        {"RA": SKY.ra.to(u.rad), "DEC": SKY.dec.to(u.arcmin)},
        {"RA": SKY.ra.to_string("hour", sep=":"), "DEC": SKY.dec.to_string("deg", sep=":")},
        {"RA": SKY.ra.to_string("hour", sep=" "), "DEC": SKY.dec.to_string("deg", sep=" ")},
        {"RA": SKY.ra.to_string("hour"), "DEC": DEC},
        {"RA": SKY.ra.to_string("deg"), "DEC": SKY.dec.to_string("deg")},
        {"anything": SKY.galactic},
        {"pos.ra": RA * u.deg, "pos.dec": DEC * u.deg},
    ],
    ids=lambda columns: f"{next(iter(columns))}-{next(iter(columns.values()))[0]}",
)
def test_positions_in_whatever_form_they_say_they_are(tmp_path, columns, units):
    Table(columns).write(tmp_path / "a.ecsv")
    catalog = read_reference(tmp_path / "a.ecsv", taking(units=units))
    assert catalog.ra == pytest.approx(RA, abs=1e-9)
    assert catalog.dec == pytest.approx(DEC, abs=1e-9)


def test_the_parameter_chooses_among_columns_of_sky_coordinates(tmp_path):
    Table({"RA": RA + 1.0, "DEC": DEC, "one": SKY, "two": SKY}).write(tmp_path / "a.ecsv")
    assert read_reference(tmp_path / "a.ecsv", taking(x="two")).ra == pytest.approx(RA)


@pytest.mark.parametrize(
    ("columns", "selection", "message"),
    [
        ({"one": SKY, "two": SKY}, {}, "set refxcol to one of them"),
        ({"ALPHA_SKY": RA, "DELTA_SKY": DEC}, {}, "refxcol = ALPHA_SKY, refycol = DELTA_SKY"),
        ({"col1": RA, "col2": DEC}, {}, "without names: .*refxcol = 1, refycol = 2"),
        ({"x": RA, "y": DEC}, {}, "refxyunits = pixels and refimage"),
        ({"RA": RA, "DEC": DEC}, {"units": "hours"}, "beyond 24 hours"),
        ({"RA": RA * u.m, "DEC": DEC}, {}, "in m, which is no deg"),
        ({"RA": ["80:06:00", "80:12:00"], "DEC": DEC}, {}, "sexagesimal text that is no hourangle"),
        ({"RA": ["05:20:24", "n/a"], "DEC": DEC}, {}, "'n/a'.*mend these rows"),
        ({"RA": ["1.0", "n/a"], "DEC": DEC}, {}, "does not hold numbers: .*'n/a'"),
        ({"RA": RA, "DEC": DEC, "ra_error": RA * u.ABmag}, {}, r"mag\(AB\), which is no mas"),
    ],
)
def test_a_refusal_names_what_would_make_the_table_work(tmp_path, columns, selection, message):
    Table(columns).write(tmp_path / "a.ecsv")
    with pytest.raises(CatalogError, match=message):
        read_reference(tmp_path / "a.ecsv", taking(**selection))


def test_magnitudes_in_units_of_their_own(tmp_path):
    Table({"RA": RA, "DEC": DEC, "mag": [2.0, 1.0] * u.ABmag}).write(tmp_path / "a.ecsv")
    assert read_reference(tmp_path / "a.ecsv", taking(brightest=1)).ra == pytest.approx(RA[1:])


def test_a_star_that_stands_twice_counts_once(tmp_path, caplog):
    twice = np.tile(RA, 2) / 15.0
    twice[2:] += 1e-15
    Table({"RA": twice, "DEC": np.tile(DEC, 2), "mag": [1.0, 2.0, 1.0, 2.0]}).write(tmp_path / "a.ecsv")
    assert read_reference(tmp_path / "a.ecsv", taking(units="hours")).ra == pytest.approx(RA)
    assert "2 of 4 stars stand twice" in caplog.text
    Table({"RA": [0.0, 360.0, 1.0], "DEC": [1.0, 1.0, 1.0], "mag": [1.0, 1.0, 2.0]}).write(tmp_path / "b.ecsv")
    assert read_reference(tmp_path / "b.ecsv", taking(brightest=2)).ra == pytest.approx([0.0, 1.0])


#: As the journals print it.
MRT = """Title: Stars
Authors: Nobody
Table: Stars
================================================================================
Byte-by-byte Description of file: t.txt
--------------------------------------------------------------------------------
   Bytes Format Units   Label  Explanations
--------------------------------------------------------------------------------
   1-  2 I2     h       RAh    Hour of right ascension
   4-  5 I2     min     RAm    Minute of right ascension
   7- 11 F5.2   s       RAs    Second of right ascension
  13     A1     ---     DE-    Sign of declination
  14- 15 I2     deg     DEd    Degree of declination
  17- 18 I2     arcmin  DEm    Arcminute of declination
  20- 23 F4.1   arcsec  DEs    Arcsecond of declination
--------------------------------------------------------------------------------
05 20 24.00 -00 30 36.0
05 21 00.00 +00 30 36.0
05 21 00.00 -69 00 00.0
"""


def test_the_tables_of_journals(tmp_path):
    (tmp_path / "a.txt").write_text(MRT)
    found = read_reference(tmp_path / "a.txt")
    assert found.ra == pytest.approx([80.1, 80.25, 80.25])
    assert found.dec == pytest.approx([-0.51, 0.51, -69.0])
    (tmp_path / "a.txt").write_text(MRT.replace("-69 00", "-69 99"))
    with pytest.raises(CatalogError, match="column 'DEm' goes beyond 0 to 60"):
        read_reference(tmp_path / "a.txt")


def test_sexagesimal_columns_are_read_as_astropy_reads_them_and_at_once():
    rng = np.random.default_rng(1)
    parts = [rng.integers(0, most, 20_000) for most in (24, 60, 60_000)]
    texts = [f"{h:02d}:{m:02d}:{s / 1000:06.3f}" for h, m, s in zip(*parts, strict=True)]
    texts[:5] = ["-0 05 06.5", "+5h6m7.5s", "5d6m7s", "5:30", " 05:06:07 "]
    table = Table({"RA": texts, "DEC": ["-00:00:36"] * len(texts)})
    start = time.process_time()
    ra, dec = sky_positions(table, "a", ("", ""), ("racol", "deccol"))
    assert time.process_time() - start < 1.0
    assert ra[:99] == pytest.approx(Angle(texts[:99], unit="hourangle").deg, rel=1e-14)
    assert (dec == -0.01).all()
