"""Stars at another epoch: positions and covariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs import absolute_errors, gaia_like
from tweakreg.plane import separation, unit_vectors
from tweakreg.records import ReferenceCatalog
from tweakreg.reference.epoch import at_epoch, motion_dispersion, observer_at
from tweakreg.reference.file import read_reference
from tweakreg.simulate import make_scene


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
