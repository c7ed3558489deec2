"""Star finders on simulated pixels, masks, and images in which there is nothing to find."""

import warnings
from dataclasses import replace

import numpy as np
import photutils
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photutils.utils.exceptions import NoDetectionsWarning
from scipy.spatial import KDTree

from tweakreg.errors import CatalogError
from tweakreg.find.background import subtract_background
from tweakreg.find.custom import read_catalog
from tweakreg.find.finders import find_peaks, find_sources
from tweakreg.find.save import write_catalog
from tweakreg.observatory.missions import image_of
from tweakreg.records import FindConfig, Pixels, SourceCatalog
from tweakreg.simulate.models import make_model
from tweakreg.wcs.footprint import to_pixels

FINDERS = {
    "iraf": FindConfig.of(starfinder="iraf", roundhi=0.6, brightest=None),
    "dao": FindConfig.of(starfinder="dao", roundlo=-0.6, roundhi=0.6, sharplo=0.2, brightest=None),
    "segmentation": FindConfig.of(starfinder="segmentation", npixels=5),
}


def blank(shape=(100, 100), seed=0):
    return np.random.default_rng(seed).normal(10.0, 1.0, size=shape)


def pixels(data, mask=None, bounds=None):
    return Pixels(data=data, error=None, mask=np.zeros(data.shape, bool) if mask is None else mask, bounds=bounds)


@pytest.mark.parametrize("finder", FINDERS)
def test_finds_the_stars_that_are_there(scene, finder):
    exposure = scene.exposures[0]
    model = make_model(scene, exposure)
    catalog = find_sources(image_of(model).pixels(), FINDERS[finder])
    x, y = to_pixels(exposure.truth, scene.ra, scene.dec)
    distance, _ = KDTree(np.column_stack([x, y])).query(np.column_stack([catalog.x, catalog.y]))
    assert len(catalog) > 50
    assert np.median(distance) < 0.12
    assert np.mean(distance < 1.0) > 0.9


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(
    "data",
    [
        blank(),
        np.zeros((100, 100)),
        np.full((100, 100), 7.0),
        np.full((100, 100), np.nan),
        np.pad(blank((60, 60)), 20, constant_values=np.nan),
        np.full((100, 100), np.inf),
        blank((3, 3)),
    ],
    ids=["noise", "zero", "constant", "NaN", "NaN edges", "infinite", "tiny"],
)
def test_nothing_to_find_is_an_empty_catalog(finder, data):
    assert len(find_sources(pixels(data), FINDERS[finder])) == 0


@pytest.mark.parametrize("finder", FINDERS)
def test_round_sources_are_found_with_the_defaults(finder):
    """The roundness of dao is zero for them, on either side by rounding."""
    y, x = np.indices((100, 100))
    data = sum(np.exp(-((x - 20 * i) ** 2 + (y - 20 * j) ** 2) / 2.25) for i in range(1, 5) for j in range(1, 5))
    assert len(find_sources(pixels(data), FindConfig.of(starfinder=finder))) == 16


@pytest.mark.parametrize("finder", FINDERS)
def test_all_masked(finder):
    data = blank()
    assert len(find_sources(pixels(data, np.ones(data.shape, bool)), FINDERS[finder])) == 0


@pytest.mark.parametrize("flag", ["DO_NOT_USE", "NON_SCIENCE"])
@pytest.mark.parametrize("finder", FINDERS)
def test_flagged_pixels_are_no_sources(scene, finder, flag):
    from stdatamodels.jwst.datamodels import dqflags

    model = make_model(scene, scene.exposures[0])
    model.dq[:128, :] |= dqflags.pixel[flag]
    catalog = find_sources(image_of(model).pixels(), FINDERS[finder])
    assert len(catalog) > 20
    assert (catalog.y > 126.0).all()


def test_missing_dq_and_err_are_no_obstacle(scene):
    model = make_model(scene, scene.exposures[0])
    del model.dq
    del model.err
    assert len(find_sources(image_of(model).pixels(), FINDERS["iraf"])) > 50


def test_sources_outside_the_bounding_box_are_dropped(scene):
    model = make_model(scene, scene.exposures[0])
    model.meta.wcs.bounding_box = ((49.5, 199.5), (-0.5, 99.5))
    catalog = find_sources(image_of(model).pixels(), FINDERS["iraf"])
    assert len(catalog) > 10
    assert ((catalog.x > 49.5) & (catalog.x < 199.5) & (catalog.y < 99.5)).all()


def test_brightest_and_peakmax(scene):

    model = make_model(scene, scene.exposures[0])
    everything = find_sources(image_of(model).pixels(), FINDERS["iraf"])
    few = find_sources(image_of(model).pixels(), replace(FINDERS["iraf"], brightest=10))
    faint = find_sources(image_of(model).pixels(), replace(FINDERS["iraf"], peakmax=1000.0))
    assert len(few) == 10
    assert sorted(few.flux) == pytest.approx(np.sort(everything.flux)[-10:])
    assert 0 < len(faint) < len(everything)


@pytest.mark.parametrize("ending", ["ecsv", "fits"])
def test_catalog_round_trip(tmp_path, ending):
    catalog = SourceCatalog(x=np.array([1.25, 2.5]), y=np.array([3.0, 4.0]), flux=np.array([5.0, 6.0]), name="a")
    write_catalog(catalog, tmp_path / f"a.{ending}")
    again = read_catalog(tmp_path / f"a.{ending}")
    assert np.array_equal([again.x, again.y, again.flux], [catalog.x, catalog.y, catalog.flux])


@pytest.mark.parametrize(
    "header", ["x y", "X Y", "xcentroid ycentroid", "XCENTROID ycentroid", "x_centroid y_centroid", "id x y weight"]
)
def test_column_names(tmp_path, header):
    names = header.split()
    (tmp_path / "a.txt").write_text(header + "\n" + " ".join(str(i + 1.5) for i in range(len(names))) + "\n")
    catalog = read_catalog(tmp_path / "a.txt")
    first = 1 if names[0] == "id" else 0
    assert (catalog.x[0], catalog.y[0]) == (first + 1.5, first + 2.5)
    assert (catalog.weight is not None) == ("weight" in names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b\n1 2\n", "needs a column x or x_psf or xcentroid or x_centroid; it has a, b"),
        ("X_IMAGE Y_IMAGE\n1 2\n", "xcol = X_IMAGE, ycol = Y_IMAGE, and pixel_origin = 1"),
        ("1.5 2.5\n", "xcol = 1, ycol = 2, and pixel_origin = 1"),
        ("RA DEC\n1 2\n", "set xyunits = degrees"),
        ("x X y\n1 2 3\n", "differ only in case"),
        ("x y\n1 nan\n", "not finite"),
        ("x y\n1 two\n", "does not hold numbers"),
        ("x y weight\n1 2 -1\n", "negative"),
        ("", "not a table"),
    ],
)
def test_broken_catalogs_name_the_file_and_the_problem(tmp_path, text, message):
    path = tmp_path / "broken.txt"
    path.write_text(text)
    with pytest.raises(CatalogError, match=message) as error:
        read_catalog(path)
    assert "broken.txt" in str(error.value)


def test_sources_that_stand_twice_count_once(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("x y flux\n1 2 3\n4 5 6\n1 2 3\n1 5 3\n")
    assert list(read_catalog(tmp_path / "a.txt").x) == [1.0, 4.0, 1.0]
    assert "1 of 4 sources stand twice" in caplog.text


def test_missing_catalog(tmp_path):
    with pytest.raises(CatalogError, match="does not exist"):
        read_catalog(tmp_path / "none.ecsv")


@pytest.mark.parametrize("seed", range(6))
def test_background_is_that_of_photutils(seed):
    """The oracle interpolates the mesh in every pixel."""
    from astropy.stats import SigmaClip
    from photutils.background import Background2D, MedianBackground

    rng = np.random.default_rng(seed)
    shape, box = rng.integers(50, 200, size=2), int(rng.integers(7, 80))
    data = rng.normal(5.0, 1.0, size=shape) + np.linspace(0.0, 3.0, shape[1])
    mask = rng.uniform(size=shape) < 0.02
    clean = np.where(mask, 0.0, data)
    oracle = Background2D(
        clean, box, coverage_mask=mask, sigma_clip=SigmaClip(sigma=3.0), bkg_estimator=MedianBackground()
    )
    subtracted, noise = subtract_background(data, mask, box)
    assert np.abs(subtracted - np.where(mask, 0.0, clean - oracle.background)).max() < 1e-12
    assert noise == pytest.approx(np.median(oracle.background_rms[~mask]), rel=1e-12)


@given(seed=st.integers(0, 10**6), radius=st.integers(2, 9), levels=st.integers(2, 60))
def test_peaks_are_those_of_photutils(seed, radius, levels):
    """Few levels make equal neighbours, which are both peaks."""
    from photutils.detection import find_peaks as oracle

    rng = np.random.default_rng(seed)
    data = rng.integers(-levels, levels, size=rng.integers(3, 40, size=2)).astype(float)
    mask = rng.uniform(size=data.shape) < 0.1
    peaks = find_peaks(data, 1.0, mask, radius)
    with warnings.catch_warnings(), photutils.use_future_column_names():
        warnings.simplefilter("ignore", NoDetectionsWarning)
        table = oracle(data, 1.0, min_separation=radius, mask=mask)
    expected = np.empty((0, 2)) if table is None else np.column_stack([table["x_peak"], table["y_peak"]])
    assert np.array_equal(peaks, expected)


@pytest.mark.parametrize("starfinder", ["iraf", "dao"])
def test_catalog_is_that_of_photutils(scene, starfinder):
    """Its own search for peaks takes 20 times as long."""
    from photutils.detection import DAOStarFinder, IRAFStarFinder

    pixels = image_of(make_model(scene, scene.exposures[0])).pixels()
    config = FINDERS[starfinder]
    catalog = find_sources(pixels, config)
    data, noise = subtract_background(pixels.data, pixels.mask, config.bkg_boxsize)
    finder = {"iraf": IRAFStarFinder, "dao": DAOStarFinder}[starfinder](
        config.snr_threshold * noise,
        config.kernel_fwhm,
        sigma_radius=config.sigma_radius,
        min_separation=2,
        sharpness_range=(config.sharplo, config.sharphi),
        roundness_range=(config.roundlo, config.roundhi),
    )
    with photutils.use_future_column_names():
        table = finder(data, mask=pixels.mask)
    assert len(catalog) == len(table) > 50
    for name in ("x", "y"):
        assert np.array_equal(getattr(catalog, name), table[f"{name}_centroid"])


@pytest.mark.parametrize("starfinder", ["iraf", "dao"])
def test_what_a_limit_rejects_is_kept_with_its_name(scene, starfinder):
    """The same peaks with and without limits; each of them is either found, or rejected by a parameter that exists."""
    pixels = image_of(make_model(scene, scene.exposures[0])).pixels()
    free = replace(FINDERS[starfinder], sharplo=-99.0, sharphi=99.0, roundlo=-99.0, roundhi=99.0)
    everything = find_sources(pixels, free)
    middle = float(np.median(everything.measures["sharpness"]))
    catalog = find_sources(pixels, replace(free, sharphi=middle, peakmax=1000.0, brightest=10))
    rejected = catalog.rejected
    reasons = rejected.measures["rejected_by"]
    assert len(catalog) == 10
    assert sorted([*catalog.x, *rejected.x]) == sorted(everything.x)
    assert np.array_equal(["sharphi" in each for each in reasons], rejected.measures["sharpness"] > middle)
    assert np.array_equal(["peakmax" in each for each in reasons], rejected.measures["peak"] > 1000.0)
    others = reasons == "brightest"
    assert others.any()
    assert rejected.flux[others].max() < catalog.flux.min()


@pytest.mark.parametrize("starfinder", ["iraf", "dao"])
def test_snr_is_what_the_threshold_is_compared_with(scene, starfinder):
    """Whoever raises the threshold to some value keeps those above it."""
    pixels = image_of(make_model(scene, scene.exposures[0])).pixels()
    config = replace(FINDERS[starfinder], sharplo=-99.0, sharphi=99.0, roundlo=-99.0, roundhi=99.0)
    catalog = find_sources(pixels, config)
    snr = catalog.measures["snr"]
    assert snr.min() > config.snr_threshold
    higher = find_sources(pixels, replace(config, snr_threshold=float(np.median(snr))))
    assert len(higher) == pytest.approx(np.sum(snr > np.median(snr)), abs=3)
