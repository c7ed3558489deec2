"""The tangent plane against astropy's TAN projection."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from tweakreg.plane import TangentPlane, separation

origins = st.tuples(st.floats(0.0, 359.999), st.floats(-90.0, 90.0))
offsets = st.lists(st.tuples(st.floats(-3000.0, 3000.0), st.floats(-3000.0, 3000.0)), min_size=1, max_size=10)


@given(origins, offsets)
def test_round_trip(origin, xy):
    plane = TangentPlane(ra=origin[0], dec=origin[1])
    assert np.allclose(plane.project(*plane.deproject(xy)), xy, rtol=0.0, atol=1e-8)


@given(origins, offsets)
def test_agrees_with_fits_tan(origin, xy):
    plane = TangentPlane(ra=origin[0], dec=origin[1])
    oracle = WCS(naxis=2)
    oracle.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    oracle.wcs.crval = origin
    oracle.wcs.lonpole = 180.0
    oracle.wcs.cdelt = [1 / 3600.0, 1 / 3600.0]
    oracle.wcs.crpix = [1.0, 1.0]
    sky = oracle.wcs_pix2world(np.array(xy), 0)
    ra, dec = plane.deproject(xy)
    assert separation(ra, dec, sky[:, 0], sky[:, 1]).max() < 1e-6


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.99999, 10.0), (10.0, 90.0), (200.0, -89.9999)])
def test_around_finds_the_middle(ra, dec):
    plane = TangentPlane(ra=ra, dec=dec)
    ring = plane.deproject(100.0 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]))
    again = TangentPlane.around(*ring)
    assert separation(again.ra, again.dec, ra, dec) < 1e-6


def test_axes_point_east_and_north():
    plane = TangentPlane(ra=30.0, dec=40.0)
    ra, dec = plane.deproject([[1.0, 0.0], [0.0, 1.0]])
    assert ra[0] > 30.0
    assert dec[1] > 40.0


def test_far_hemisphere_is_nan():
    assert np.isnan(TangentPlane(ra=0.0, dec=0.0).project(180.0, 0.0)).all()


def test_separation_agrees_with_astropy_and_stays_exact():
    assert separation(10.0, 20.0, 11.0, 21.0) == pytest.approx(
        SkyCoord(10, 20, unit="deg").separation(SkyCoord(11, 21, unit="deg")).arcsec, rel=1e-12
    )
    assert separation(10.0, 20.0, 10.0, 20.0 + 1e-6 / 3600.0) == pytest.approx(1e-6, rel=1e-3)
