"""Reference catalogs: formats, services, HATS, cache, epochs, errors and regions."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import run, statuses, wcs_of
from tweakreg import SINGLE_GROUP_REFCAT, read_result
from tweakreg.errors import CatalogError, ParameterError, ServiceError
from tweakreg.plane import TangentPlane, separation, unit_vectors
from tweakreg.records import ReferenceCatalog, Selection
from tweakreg.reference import hats
from tweakreg.reference.cache import cached
from tweakreg.reference.cone import Cone
from tweakreg.reference.epoch import at_epoch, motion_dispersion, observer_at
from tweakreg.reference.file import read_reference
from tweakreg.reference.hats import read_cone
from tweakreg.reference.providers import Request, fetch, reference_catalog
from tweakreg.reference.region import cones, near_images
from tweakreg.reference.service import Patience, query_service
from tweakreg.reference.table import table_of
from tweakreg.simulate import make_scene, score
from tweakreg.tables import write_parquet


def taking(**changes):
    """The usual columns, and fluxes of which the largest are the brightest, but for changes."""
    return Selection.of_reference(**{"magnitudes": False} | changes)


HERE = Cone(ra=10.0, dec=20.0, radius=0.1)
BODY = b"#comment\nra,dec,mag,pmra,pmdec,objID\n10.0,20.0,15.0,1.0,2.0,5\n10.01,20.01,16.0,,,6\n"


# --- files ---------------------------------------------------------------------------------------------------------


def stars(ra="ra", dec="dec", **columns):
    return Table({ra: [10.0, 10.1, 10.2], dec: [20.0, 20.1, 20.2], **columns})


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


# --- epochs --------------------------------------------------------------------------------------------------------


def gaia_like(number, *, seed=0, fastest=5000.0, nearest=700.0):
    """Stars all over the sky, with correlated errors."""
    rng = np.random.default_rng(seed)
    dec = np.degrees(np.arcsin(rng.uniform(-0.999, 0.999, number)))
    root = rng.normal(size=(number, 5, 5)) * [0.05, 0.05, 0.06, 0.04, 0.04]
    return ReferenceCatalog(
        ra=rng.uniform(0.0, 360.0, number),
        dec=dec,
        epoch=np.full(number, 2016.0),
        motion=rng.uniform(-fastest, fastest, (number, 2)) / np.sqrt(2.0),
        parallax=rng.uniform(0.1 * nearest, nearest, number),
        covariance=root @ root.transpose(0, 2, 1),
        mag=rng.uniform(10.0, 20.0, number),
    )


@pytest.mark.parametrize("epoch", [1991.25, 2016.0, 2024.5, 2040.0])
def test_epochs_agree_with_astropy_and_a_distance(epoch):
    """Space motion by ERFA, then the direction from the observer at the star's distance; no radial velocity."""
    catalog = gaia_like(300)
    observer = observer_at(epoch)
    sky = SkyCoord(
        catalog.ra * u.deg, catalog.dec * u.deg, distance=1000.0 / catalog.parallax * u.pc,
        pm_ra_cosdec=catalog.motion[:, 0] * u.mas / u.yr, pm_dec=catalog.motion[:, 1] * u.mas / u.yr,
        radial_velocity=np.zeros(300) * u.km / u.s, obstime=Time(2016.0, format="jyear", scale="tdb"),
    )  # fmt: skip
    moved = (
        sky.apply_space_motion(new_obstime=Time(epoch, format="jyear", scale="tdb")).cartesian.xyz.to_value(u.au).T
        - observer
    )
    ours = at_epoch(catalog, epoch, observer)
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    angle = np.linalg.norm(unit_vectors(ours.ra, ours.dec) - expected, axis=1)
    assert 3.6e6 * np.degrees(angle).max() < 0.05


def test_the_observer_is_at_l2():
    earth_year = [observer_at(2024.0 + month / 12.0) for month in range(12)]
    assert np.linalg.norm(earth_year, axis=1) == pytest.approx(1.01, abs=0.03)
    assert np.linalg.norm(np.mean(earth_year, axis=0)) < 0.03


def test_covariances_agree_with_a_monte_carlo():
    catalog = gaia_like(3, fastest=50.0, nearest=20.0)
    observer = observer_at(2030.0)
    moved = at_epoch(catalog, 2030.0, observer)
    rng = np.random.default_rng(1)
    for star in range(3):
        one = catalog[np.array([star])]
        draws = rng.multivariate_normal(np.zeros(5), catalog.covariance[star], size=4000)
        cosine = np.cos(np.radians(one.dec))
        many = ReferenceCatalog(
            ra=one.ra + draws[:, 0] / cosine / 3.6e6,
            dec=one.dec + draws[:, 1] / 3.6e6,
            epoch=np.full(4000, 2016.0),
            parallax=one.parallax + draws[:, 2],
            motion=one.motion + draws[:, 3:],
        )
        there = at_epoch(many, 2030.0, observer)
        place = 3.6e6 * np.column_stack(
            [(there.ra - moved.ra[star]) * np.cos(np.radians(moved.dec[star])), there.dec - moved.dec[star]]
        )
        found = np.cov(place.T)
        expected = moved.covariance[star, :2, :2]
        assert found == pytest.approx(expected, abs=0.1 * np.sqrt(np.outer(*2 * [np.diagonal(expected)])).max())


@settings(max_examples=30, deadline=None)
@given(st.floats(1990.0, 2060.0), st.integers(0, 1000))
def test_there_and_back_again(epoch, seed):
    """Without parallax an epoch can be undone, but for the small change of direction of the motion."""
    catalog = replace(gaia_like(20, seed=seed, fastest=100.0), parallax=None)
    there = at_epoch(catalog, epoch, np.zeros(3))
    back = at_epoch(there, 2016.0, np.zeros(3))
    assert 1000.0 * separation(back.ra, back.dec, catalog.ra, catalog.dec).max() < 0.01 + 0.1 / np.cos(
        np.radians(np.abs(catalog.dec).max())
    )


def test_stars_without_motion_are_kept_with_the_error_of_the_gap():
    catalog = gaia_like(200, fastest=10.0)
    catalog.motion[:50] = np.nan
    catalog.covariance[:50, 2:, :] = catalog.covariance[:50, :, 2:] = 0.0
    moved = at_epoch(catalog, 2026.0, np.zeros(3))
    common = np.median(catalog.motion[50:], axis=0)
    gap = 10.0 * motion_dispersion(catalog, about=common)
    extra = np.sqrt(moved.variance[:50] - catalog.variance[:50])
    assert extra == pytest.approx(gap, rel=1e-6)
    known = catalog.motion[50:]
    assert motion_dispersion(catalog) == pytest.approx(np.sqrt(np.mean(known**2)), rel=0.2)
    assert np.sqrt(moved.variance[50:]).max() < 3.0


def test_stars_without_motion_go_with_the_others():
    catalog = gaia_like(100, fastest=1.0)
    catalog.motion[:] += [30.0, -20.0]
    catalog.motion[:50] = np.nan
    moved = at_epoch(replace(catalog, parallax=None), 2026.0, np.zeros(3))
    distance = 1000.0 * separation(moved.ra, moved.dec, catalog.ra, catalog.dec)
    assert distance[:50] == pytest.approx(10.0 * np.hypot(30.0, 20.0), rel=0.05)


def test_motions_of_zero_and_rows_without_epoch(tmp_path, catalog_models, caplog):
    scene = make_scene(size=512, n_exposures=2, n_stars=150, seed=4)
    table = scene.gaia(worst=0.5)
    table["pmra"], table["pmdec"] = 0.0, 0.0
    table["ref_epoch"][0] = np.nan
    assert np.median(absolute_errors(scene, table, tmp_path, catalog_models)) < 1.0
    assert "1 rows have no ref_epoch" in caplog.text


def test_real_gaia_rows_move_without_a_warning(real_data):
    for path in sorted((real_data / "gaia_excerpts").glob("*.fits")):
        catalog = read_reference(path)
        moved = at_epoch(catalog, 2025.3, observer_at(2025.3))
        assert np.isfinite(moved.ra).all()
        assert np.isfinite(moved.variance).all()
        distance = 1000.0 * separation(moved.ra, moved.dec, catalog.ra, catalog.dec)
        if catalog.epoch is None:
            assert not distance.any()
            continue
        length = np.hypot(*np.nan_to_num(catalog.motion).T) * (2025.3 - catalog.epoch)
        parallax = np.abs(np.nan_to_num(catalog.parallax))
        known = np.isfinite(catalog.motion).all(axis=1)
        assert known.sum() > 4
        assert (np.abs(distance - length) <= 1.03 * parallax + 1e-3 + 1e-6 * length)[known].all()


# --- a run ---------------------------------------------------------------------------------------------------------


def absolute_errors(scene, table, folder, catalog_models, *, noise=0.03, **parameters):
    table.write(folder / "gaia.ecsv", format="ascii.ecsv", overwrite=True)
    library = run(
        catalog_models(scene, folder, noise=noise),
        use_custom_catalogs=True,
        abs_refcat=str(folder / "gaia.ecsv"),
        **parameters,
    )
    assert set(statuses(library)) == {"COMPLETE"}
    return score(wcs_of(library), scene.truth, scene.config.size).absolute


def test_proper_motions_of_a_file_are_used(catalog_models, tmp_path):
    scene = make_scene(size=512, n_exposures=4, n_stars=200, motion=5.0, common_motion=(5.0, -3.0), seed=4)
    at_once = absolute_errors(scene, scene.gaia(epoch=2025.0), tmp_path, catalog_models)
    later = absolute_errors(scene, scene.gaia(epoch=2016.0), tmp_path, catalog_models)
    table = scene.gaia(epoch=2016.0)
    table.remove_columns(["pmra", "pmdec"])
    ignored = absolute_errors(scene, table, tmp_path, catalog_models)
    assert ignored.min() > 40.0
    assert np.median(later) < 0.5
    assert np.median(at_once) < 0.5


def test_two_epochs_with_common_fast_stars(catalog_models, tmp_path):
    errors = []
    for years in ((0.0, 0.0), (-2.0, 0.0)):
        scene = make_scene(
            size=512,
            n_exposures=4,
            n_visits=2,
            n_stars=200,
            motion=10.0,
            common_motion=(200.0, -100.0),
            visit_years=years,
            seed=4,
        )
        errors.append(absolute_errors(scene, scene.gaia(still=0.2), tmp_path, catalog_models))
    assert np.median(errors[1]) < 1.5 * np.median(errors[0]) + 0.1
    assert np.max(errors[1]) < 1.5


def test_weights_make_the_result_better(catalog_models, tmp_path):
    medians = []
    for seed in range(6):
        scene = make_scene(size=512, n_exposures=2, n_stars=150, motion=5.0, seed=100 + seed)
        medians.append(
            [
                np.median(absolute_errors(scene, scene.gaia(), tmp_path, catalog_models, abs_weighted=weighted))
                for weighted in (True, False)
            ]
        )
    weighted, unweighted = np.median(medians, axis=0)
    assert weighted < 0.7 * unweighted


def test_an_image_can_be_the_reference(scene, scene_files, tmp_path):
    """Aligned to an image whose WCS is the true one, which is not changed."""
    from tweakreg.simulate.models import make_model

    model = make_model(scene, scene.exposures[0])
    model.meta.wcs = scene.exposures[0].truth
    path = tmp_path / "reference_cal.fits"
    model.save(path)
    before = path.read_bytes()
    library = run(str(scene_files), refimage=str(path), roundhi=0.6, output_dir=str(tmp_path))
    assert set(statuses(library)) == {"COMPLETE"}
    assert np.median(score(wcs_of(library), scene.truth, scene.config.size).absolute) < 2.0
    assert path.read_bytes() == before


def test_a_catalog_in_pixels_of_the_reference_image(scene, scene_files, tmp_path):
    from tweakreg.simulate.models import make_catalog, make_model

    model = make_model(scene, scene.exposures[0], pixels=False)
    model.meta.wcs = scene.exposures[0].truth
    model.save(tmp_path / "reference_cal.fits")
    found = make_catalog(scene, scene.exposures[0])
    Table({"col1": found.x, "col2": found.y}).write(tmp_path / "pixels.csv")
    pixels = {"refimage": str(tmp_path / "reference_cal.fits"), "abs_refcat": str(tmp_path / "pixels.csv")}
    library = run(str(scene_files), refxyunits="pixels", refxcol="1", refycol="2", roundhi=0.6, **pixels)
    assert set(statuses(library)) == {"COMPLETE"}
    with pytest.raises(ParameterError, match="refimage"):
        run(str(scene_files), **pixels)


@pytest.mark.parametrize("units", ["pixels", "degrees"])
def test_selectors_of_the_exposures_catalogs(scene, tmp_path, catalog_models, units):
    """Columns by name and number, first pixel 1, magnitudes, cuts, and the brightest of each group."""
    from tweakreg.simulate.models import make_catalog
    from tweakreg.wcs.footprint import sky

    models = catalog_models(scene, tmp_path)
    for model, exposure in zip(models, scene.exposures, strict=True):
        found = make_catalog(scene, exposure)
        places = (found.x + 1.0, found.y + 1.0) if units == "pixels" else sky(exposure.wcs, found.x, found.y)
        table = Table([*places, -2.5 * np.log10(found.flux)], names=["here", "there", "brightness"])
        table.write(model.meta.tweakreg_catalog, overwrite=True)
    parameters = {
        "use_custom_catalogs": True, "xcol": "here", "ycol": "2", "fluxcol": "brightness", "fluxunits": "mag",
        "xyunits": units, "pixel_origin": 1,
    }  # fmt: skip
    library = run(models, save_fit_summary=True, save_matches=True, output_dir=str(tmp_path), nbright=60, **parameters)
    assert set(statuses(library)) == {"COMPLETE"}
    for path in tmp_path.glob("*_matches.ecsv"):
        table = Table.read(path)
        assert len(table) <= 60
    relative = score(wcs_of(library), scene.truth, scene.config.size).relative
    assert np.median(relative) < 1.0


# --- services ------------------------------------------------------------------------------------------------------


class Service(BaseHTTPRequestHandler):
    """The catalog service, with one of its faults."""

    fault = ""
    asked: list[str] = []  # noqa: RUF012 - shared on purpose

    def do_GET(self):
        type(self).asked.append(self.path)
        status = 500 if self.fault in ("500", "csv with 500") else 200
        body = {
            "html": b"<html>down</html>",
            "500": b"error",
            "empty": b"",
            "mixed": BODY + b"Error: time out,,,,,\n",
            "no star": b"No data records found",
        }.get(self.fault, BODY)
        self.send_response(status)
        length = len(body) + (500 if self.fault == "truncated" else 0)
        if self.fault not in ("cut", "slow"):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.connection.close()
            return
        if self.fault == "slow":
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
            return
        self.wfile.write(body[:-5] if self.fault == "cut" else body)

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True


@pytest.fixture
def service(monkeypatch):
    """A server on this machine; call it with a fault."""
    Service.fault, Service.asked = "", []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", f"http://127.0.0.1:{server.server_port}")

    def choose(fault):
        Service.fault = fault
        return server

    yield choose
    server.shutdown()
    server.server_close()


FAULTS = ["500", "csv with 500", "html", "empty", "slow", "truncated", "reset", "refused", "cut", "mixed"]


def test_the_service_is_asked_for_its_own_epoch(service):
    service("")
    table = query_service("GAIADR3", HERE, Patience())
    assert len(table) == 2
    assert "EPOCH" not in Service.asked[0]
    assert "CAT=GAIADR3" in Service.asked[0]
    catalog = reference_catalog(Request(names=("GAIADR3",)), [(np.array([10.0, 10.02]), np.array([20.0, 20.02]))], 0.1)
    assert catalog.epoch.tolist() == [2016.0, 2016.0]
    assert np.isnan(catalog.motion[1]).all()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_a_service_is_one_error_in_time(service, fault, monkeypatch):
    service(fault)
    if fault == "refused":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"GAIADR3 did not answer with a catalog: ."):
        query_service("GAIADR3", HERE, Patience(timeout=1.0, retries=0))
    assert time.monotonic() - start < 4.0


def test_a_service_is_asked_again(service):
    service("500")
    with pytest.raises(ServiceError, match=r"HTTP status 500 \(3 tries\)"):
        query_service("GAIADR3", HERE, Patience(timeout=1.0, retries=2))
    assert len(Service.asked) == 3


def test_no_star_is_an_answer(service):
    service("no star")
    assert len(query_service("GAIADR1", HERE, Patience())) == 0


@pytest.mark.parametrize("fault", ["500", "html", "slow"])
def test_without_a_service_the_relative_solution_is_written(service, scene, tmp_path, catalog_models, fault):
    service(fault)
    scene_models = catalog_models(scene, tmp_path)
    library = run(
        scene_models, use_custom_catalogs=True, abs_refcat="GAIADR3", service_timeout=1.0, service_retries=0,
        refcat_cache="none", save_results=True, output_dir=str(tmp_path),
    )  # fmt: skip
    assert set(statuses(library)) == {"FAILED"}
    assert score(wcs_of(library), scene.truth, scene.config.size).relative.max() < 2.0
    with library:
        model = library.borrow(0)
        absolute = read_result(model)["stages"]["absolute"]
        library.shelve(model, 0, modify=False)
    assert absolute["outcome"] == "NO_REFERENCE"
    assert "tweakreg refcat fetch" in absolute["detail"]
    assert len(list(tmp_path.glob("*_tweakreg.fits"))) == len(scene.exposures)


def test_the_fallback_is_used_and_recorded(service, scene, tmp_path, catalog_models):
    service("500")
    scene.reference_catalog().write(tmp_path / "refcat.ecsv")
    library = run(
        catalog_models(scene, tmp_path), use_custom_catalogs=True, abs_refcat="GAIADR3", service_retries=0,
        abs_fallback=f"GAIADR2, {tmp_path / 'refcat.ecsv'}", refcat_cache="none",
    )  # fmt: skip
    assert set(statuses(library)) == {"COMPLETE"}
    with library:
        model = library.borrow(0)
        assert read_result(model)["reference"]["name"] == "refcat.ecsv"
        assert model.meta.wcs.name == "FIT-LVL3-refcat.ecsv"
        library.shelve(model, 0, modify=False)


def test_cones_are_kept(service, tmp_path):
    service("")
    odd = Cone(ra=10.0123456789, dec=19.9876543211, radius=0.1000000004)
    first = fetch("GAIADR3", [HERE], Patience(), tmp_path)
    fetch("GAIADR3", [odd], Patience(), tmp_path)
    service("500")
    assert len(fetch("GAIADR3", [odd], Patience(retries=0), tmp_path)) == 2
    smaller = Cone(ra=10.02, dec=20.01, radius=0.05)
    again = fetch("GAIADR3", [smaller], Patience(retries=0), tmp_path)
    assert (again["ra"] == first["ra"]).all()
    assert again.meta["provenance"] == first.meta["provenance"]
    for other in (Cone(ra=10.08, dec=20.0, radius=0.05), Cone(ra=10.0, dec=20.0, radius=0.2)):
        with pytest.raises(ServiceError):
            fetch("GAIADR3", [other], Patience(retries=0), tmp_path)
    with pytest.raises(ServiceError):
        fetch("GAIADR2", [HERE], Patience(retries=0), tmp_path)
    for kept in tmp_path.iterdir():
        kept.write_bytes(b"damaged")
    service("")
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert len(cached("X", HERE, tmp_path / "file", lambda cone: Table({"ra": [1.0], "dec": [2.0]}))) == 1
    assert "are not kept" in caplog.text


def test_a_bundle_is_a_reference_catalog(service, scene, scene_files, tmp_path, capsys):
    from tweakreg.cli import main

    catalog = tmp_path / "hats"
    write_hats(scene.gaia(), catalog, order=1)
    bundle = tmp_path / "bundle.parquet"
    assert main(["refcat", "fetch", str(scene_files), "-o", str(bundle), "--catalog", str(catalog)]) == 0
    assert f"stars to {bundle}" in capsys.readouterr().out
    assert "fetched" in read_reference(bundle).provenance
    library = run(str(scene_files), abs_refcat=str(bundle), roundhi=0.6)
    assert set(statuses(library)) == {"COMPLETE"}
    assert np.median(score(wcs_of(library), scene.truth, scene.config.size).absolute) < 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["asn.json", "-o", "a.txt"], "the ending must be one of"),
        (["asn.json", "-o", "a.parquet", "--catalog", "nothing"], "is no catalog to fetch from"),
        (["asn.json", "-o", "a.parquet"], "asn.json"),
    ],
)
def test_fetching_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, message):
    from tweakreg.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["refcat", "fetch", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_public():
    assert SINGLE_GROUP_REFCAT == ["GAIAREFCAT", "GAIADR3", "GAIADR2", "GAIADR1", "GAIADR3_S3"]


# --- HATS ----------------------------------------------------------------------------------------------------------


def write_hats(table, folder, order, row_group=20_000):
    """A HATS catalog of one order, sorted by HEALPix index."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy_healpix import HEALPix

    positions = (np.asarray(table["ra"]) * u.deg, np.asarray(table["dec"]) * u.deg)
    index = HEALPix(nside=2**29, order="nested").lonlat_to_healpix(*positions)
    table = table[np.argsort(index)]
    index = np.sort(index)
    pixels = index >> 2 * (29 - order)
    for pixel in np.unique(pixels):
        place = folder / "dataset" / f"Norder={order}" / f"Dir={pixel // 10000 * 10000}"
        place.mkdir(parents=True, exist_ok=True)
        chosen = pixels == pixel
        columns = {name: np.asarray(table[name])[chosen] for name in table.colnames}
        pq.write_table(
            pa.table({"_healpix_29": index[chosen], **columns}),
            place / f"Npix={pixel}.parquet",
            row_group_size=row_group,
        )
    lines = ["hats_col_ra=ra", "hats_col_dec=dec", "hats_col_healpix=_healpix_29", "hats_npix_suffix=.parquet"]
    (folder / "hats.properties").write_text("#HATS catalog\n" + "\n".join(lines) + "\n")
    rows = [f"{order},{pixel}" for pixel in np.unique(pixels)]
    (folder / "partition_info.csv").write_text("Norder,Npix\n" + "\n".join(rows) + "\n")


def read_bytes():
    """What this process has asked the kernel to read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split(": ")[1] for line in lines if line.startswith("rchar")))


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A HATS catalog of a million stars in 200 square degrees."""
    rng = np.random.default_rng(0)
    number = 1_000_000
    table = Table({"ra": rng.uniform(100.0, 114.0, number), "dec": rng.uniform(-7.0, 7.0, number)})
    for name in ("ra_error", "dec_error", "pmra", "pmdec", "unused_one", "unused_two", "unused_three"):
        table[name] = rng.normal(size=number)
    table["ref_epoch"] = 2016.0
    folder = tmp_path_factory.mktemp("million")
    write_hats(table, folder, order=4)
    return folder, table


def test_a_small_cone_of_a_million_stars(million):
    folder, table = million
    cone = Cone(ra=107.0, dec=1.0, radius=0.1)
    read_cone(str(folder), cone, 10.0)  # what is imported once does not count
    bytes_before, start = read_bytes(), time.process_time()
    found = read_cone(str(folder), cone, 10.0)
    seconds, size = time.process_time() - start, read_bytes() - bytes_before
    near = separation(cone.ra, cone.dec, table["ra"], table["dec"]) <= 360.0
    assert sorted(found["ra"]) == sorted(table["ra"][near])
    assert not {"unused_one", "_healpix_29"} & set(found.colnames)
    partitions = list(folder.rglob("*.parquet"))
    largest = max(path.stat().st_size for path in partitions)
    assert len(partitions) > 15
    assert size < 2.0 * largest
    print(f"{size} bytes of {sum(path.stat().st_size for path in partitions)}, {seconds:.3f} s of CPU")


def test_the_layout_in_the_field(real_data):
    """The collection and the catalog in it; a cone is what all stars say."""
    place = real_data / "hats_small_sky" / "tests" / "data" / "small_sky_order1_collection"
    everything = read_cone(str(place), Cone(ra=0.0, dec=0.0, radius=180.0), 10.0)
    assert len(everything) == 131
    cone = Cone(ra=320.0, dec=-45.0, radius=12.0)
    found = read_cone(str(place / "small_sky_order1"), cone, 10.0)
    near = separation(cone.ra, cone.dec, everything["ra"], everything["dec"]) <= 12.0 * 3600.0
    assert 0 < len(found) == near.sum() < 131


@pytest.mark.parametrize("order", [3, 5, 7])
def test_no_pixel_of_a_cone_is_missed(order):
    """Points in random cones all over the sky lie in one of the pixels that are read."""
    from astropy_healpix import HEALPix

    rng = np.random.default_rng(order)
    healpix = HEALPix(nside=2**order, order="nested")
    for _ in range(300):
        cone = Cone(
            ra=rng.uniform(0, 360), dec=np.degrees(np.arcsin(rng.uniform(-1, 1))), radius=10 ** rng.uniform(-2, 0.5)
        )
        place = cone.radius * 3600.0 * np.sqrt(rng.uniform(size=(200, 1))) * unit_circle(rng, 200)
        ra, dec = TangentPlane(ra=cone.ra, dec=cone.dec).deproject(place)
        inside = separation(cone.ra, cone.dec, ra, dec) <= cone.radius * 3600.0
        needed = healpix.lonlat_to_healpix(ra[inside] * u.deg, dec[inside] * u.deg)
        assert np.isin(needed, hats._pixels(order, cone)).all()


def unit_circle(rng, number):
    angle = rng.uniform(0.0, 2.0 * np.pi, number)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_a_folder_that_is_no_catalog(tmp_path):
    with pytest.raises(CatalogError, match=r"no hats\.properties"):
        read_cone(str(tmp_path), HERE, 1.0)
    write_hats(stars(), tmp_path, order=1)
    (tmp_path / "partition_info.csv").unlink()
    with pytest.raises(CatalogError, match=r"no partition_info\.csv"):
        read_cone(str(tmp_path), HERE, 1.0)


def test_a_catalog_at_a_url(tmp_path):
    """Over HTTP the same stars; a server that is not there is a service that does not answer."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    write_hats(stars(), tmp_path, order=1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert len(read_cone(url, Cone(ra=10.05, dec=20.05, radius=0.1), 10.0)) == 2
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ServiceError, match="did not answer"):
        read_cone(url, HERE, 2.0)


# --- regions -------------------------------------------------------------------------------------------------------


def square(ra, dec, side, roll=0.0):
    """A square footprint, degrees."""
    angle = np.radians(roll) + np.pi / 4.0 + np.pi / 2.0 * np.arange(4)
    corners = side / np.sqrt(2.0) * 3600.0 * np.column_stack([np.cos(angle), np.sin(angle)])
    return TangentPlane(ra=ra, dec=dec).deproject(corners)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 360.0), st.floats(-90.0, 90.0), st.integers(1, 12), st.integers(0, 10_000))
def test_cones_cover_every_image_and_little_more(ra, dec, number, seed):
    rng = np.random.default_rng(seed)
    places = TangentPlane(ra=ra, dec=dec).deproject(rng.normal(scale=200.0, size=(number, 2)))
    images = [square(*place, 0.03, roll) for *place, roll in zip(*places, rng.uniform(0, 90, number), strict=True)]
    found = cones(images, 0.002)
    for image in images:
        covered = [
            (separation(cone.ra, cone.dec, *image) / 3600.0).max() <= cone.radius - 0.002 + 1e-9 for cone in found
        ]
        assert any(covered)
    everything = unit_vectors(*(np.concatenate([image[axis] for image in images]) for axis in (0, 1)))
    widest = np.degrees(np.linalg.norm(everything[:, None] - everything[None], axis=2).max())
    assert max(cone.radius for cone in found) <= 1.02 * widest / np.sqrt(3.0) + 0.0021


@pytest.mark.parametrize("dec", [0.0, 89.99, -89.99])
def test_a_mosaic_of_two_hundred_exposures(dec):
    """At RA = 0 and the poles, in one cone; stars far from the images are left out."""
    steps = 100.0 * (np.arange(200) % 20), 100.0 * (np.arange(200) // 20)
    places = TangentPlane(ra=0.0, dec=dec).deproject(np.column_stack(steps))
    images = [square(*place, 0.02) for place in zip(*places, strict=True)]
    found = cones(images, 0.002)
    rng = np.random.default_rng(0)
    sky = TangentPlane(ra=0.0, dec=dec).deproject(rng.uniform(-3000.0, 3000.0, (20_000, 2)))
    near = near_images(*sky, images, 0.002)
    assert len(found) == 1
    assert 0.0 < near.mean() < 0.4


def test_fields_apart_are_asked_for_one_by_one():
    images = [square(10.0, 0.0, 0.03), square(10.01, 0.0, 0.03), square(15.0, 0.0, 0.03)]
    assert len(cones(images, 0.01)) == 2
    assert max(cone.radius for cone in cones(images, 0.01)) < 0.05
