"""STScI's tools for HST on our results: stwcs and AstroDrizzle. Run with ``tox run -e hst``."""

import shutil

import numpy as np
import pytest

pytest.importorskip("drizzlepac", reason="the peer is installed in the hst environment only")

from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.optimize import least_squares
from scipy.spatial import KDTree

from helpers import run
from tweakreg.plane import MAS_PER_ARCSEC, separation
from tweakreg.simulate import make_scene
from tweakreg.simulate.hst import write_hst_scene

pytestmark = pytest.mark.filterwarnings("ignore")

#: When the four exposures were taken, their mean, and when the places of the stars hold, Julian years.
_TAKEN, _PLACES = 2006.526, 2016.0


@pytest.fixture(scope="module", params=["simulated", "real headers"])
def files(request, tmp_path_factory):
    """Exposures, and their reference catalog."""
    if request.param == "simulated":
        config = {"n_exposures": 2, "n_visits": 2, "detectors": ("NRCA1", "NRCA2"), "pixel_scale": 0.05, "seed": 3}
        paths = write_hst_scene(make_scene(size=256, n_stars=150, **config), tmp_path_factory.mktemp("hst"))
        return paths, paths[0].with_name("refcat.ecsv")
    folder = request.getfixturevalue("real_data") / "hst_flc"
    paths = sorted(folder.glob("jtwr0*_flc.fits"))
    if not paths:
        pytest.skip("hst_flc is not at hand")
    return paths, folder / "field1_gaia.ecsv"


@pytest.fixture(scope="module")
def aligned(files, tmp_path_factory):
    """The exposures, and the folder of their results."""
    paths, refcat = files
    folder = tmp_path_factory.mktemp("aligned")
    options = {"fitgeometry": "general", "abs_fitgeometry": "general", "abs_refcat": str(refcat), "peakmax": 7e4}
    run([str(path) for path in paths], save_results=True, output_dir=str(folder), **options)
    return paths, folder


def apart(one, other):
    """Largest distance between the places that the chips of two files have, mas."""
    worst = 0.0
    with fits.open(one) as first, fits.open(other) as second:
        for version in (1, 2):
            header = first["SCI", version].header
            axes = (np.linspace(0.0, header[f"NAXIS{axis}"] - 1.0, 6) for axis in (1, 2))
            x, y = (grid.ravel() for grid in np.meshgrid(*axes))
            skies = [WCS(hdus["SCI", version].header, hdus).all_pix2world(x, y, 0) for hdus in (first, second)]
            worst = max(worst, float(separation(*skies[0], *skies[1]).max()) * MAS_PER_ARCSEC)
    return worst


def copied(path, folder, name):
    """A copy that can be written to."""
    target = folder / name
    shutil.copyfile(path, target)
    return target


def test_stwcs_restores_the_wcs_of_before(aligned, tmp_path):
    from stwcs.wcsutil import altwcs

    paths, folder = aligned
    for path in paths:
        new = copied(folder / path.name, tmp_path, path.name)
        assert apart(path, new) > 1.0
        altwcs.restoreWCS(str(new), ["SCI"], wcskey=fits.getval(new, "TWKWCS", extname="SCI"))
        assert apart(path, new) < 1e-5


def test_a_headerlet_of_our_result_carries_it_to_the_original(aligned, tmp_path, monkeypatch):
    from stwcs.wcsutil import headerlet

    monkeypatch.chdir(tmp_path)
    paths, folder = aligned
    for path in paths:
        new = copied(folder / path.name, tmp_path, f"new_{path.name}")
        original = copied(path, tmp_path, path.name)
        headerlet.create_headerlet(str(new), hdrname="tweakreg").writeto(tmp_path / "hlet.fits", overwrite=True)
        headerlet.apply_headerlet_as_primary(str(original), "hlet.fits", attach=False, archive=True, force=True)
        assert apart(original, folder / path.name) < 1e-4


@pytest.mark.parametrize("files", ["real headers"], indirect=True)
def test_stars_of_astrodrizzle_are_where_they_truly_are(aligned, real_data, tmp_path, monkeypatch):
    from drizzlepac.astrodrizzle import AstroDrizzle

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("jref", f"{real_data / 'hst_flc' / 'jref'}/")
    paths, folder = aligned
    names = [copied(folder / path.name, tmp_path, path.name).name for path in paths]
    AstroDrizzle(
        names, output="field", updatewcs=False, build=True, context=False, preserve=False, num_cores=1, resetbits=0,
        driz_cr_corr=False, combine_type="median", final_wcs=True, final_scale=0.05, final_rot=0.0,
    )  # fmt: skip
    with fits.open(next(tmp_path.glob("field_dr?.fits"))) as hdus:
        found = _errors(np.nan_to_num(hdus["SCI"].data), WCS(hdus["SCI"].header), real_data / "hst_flc")
    assert len(found) > 15
    assert np.abs(np.median(found, axis=0)).max() < 1.0


def _errors(image, wcs, folder):
    """How far isolated stars of a drizzled image are from the truth, x and y, mas."""
    stars = Table.read(folder / "truth" / "field1_sky.ecsv")
    moved = (_TAKEN - _PLACES) / MAS_PER_ARCSEC / 3600.0
    dec = stars["dec"] + stars["pmdec"] * moved
    ra = stars["ra"] + stars["pmra"] * moved / np.cos(np.radians(stars["dec"]))
    places = np.column_stack(wcs.all_world2pix(np.asarray(ra), np.asarray(dec), 0))
    alone = KDTree(places).query(places, k=2)[0][:, 1] > 12.0
    inside = np.all((places > 20.0) & (places < np.array(image.shape[::-1]) - 20.0), axis=1)
    saturated = image.max()
    errors = []
    for place in places[alone & inside]:
        i, j = np.rint(place).astype(int)
        stamp = image[j - 5 : j + 6, i - 5 : i + 6]
        if stamp.min() != 0.0 and 0.02 * saturated < stamp.max() < 0.8 * saturated:
            errors.append((_centre(stamp - np.median(stamp)) + [i - 5, j - 5] - place) * 50.0)
    errors = np.array(errors)
    return errors[(np.abs(errors - np.median(errors, axis=0)) < 15.0).all(axis=1)]


def _centre(stamp):
    """Of the star in the middle, by a Gaussian on its core."""
    y, x = np.indices(stamp.shape)
    core = (x - 5) ** 2 + (y - 5) ** 2 < 12

    def misfit(p):
        return (p[0] * np.exp(-((x - p[1]) ** 2 + (y - p[2]) ** 2) / 2.0 / p[3] ** 2) + p[4] - stamp)[core]

    return least_squares(misfit, [stamp.max(), 5.0, 5.0, 1.0, 0.0]).x[1:3]
