"""What happens to a GWCS: composed, carried into each detector's plane, kept, written and read back."""

import asdf
import numpy as np
import pytest

from tweakreg.errors import WCSError
from tweakreg.plane import TangentPlane, separation
from tweakreg.records import Affine, SipConfig
from tweakreg.simulate.instrument import Detector, Pointing, make_wcs
from tweakreg.wcs.corrector import TelescopeAngles, correct
from tweakreg.wcs.footprint import pixel_bounds, pixel_scale, s_region, sky, to_pixels
from tweakreg.wcs.sip import approximate

SIZE = 512
X, Y = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.5, SIZE - 0.5, 8), np.linspace(-0.5, SIZE - 0.5, 8)))
FIELDS = [(80.0, -69.5), (0.0, 0.0), (359.99999, 30.0), (10.0, 89.9995), (200.0, -90.0)]


def detector(name="NRCA1"):
    return Detector(name=name, size=SIZE, pixel_scale=0.031)


def angles(which, pointing):
    local = pointing.at(which.v2_ref, which.v3_ref)
    return TelescopeAngles(v2_ref=which.v2_ref, v3_ref=which.v3_ref, roll_ref=local.roll)


def turned(degrees, shift=(0.0, 0.0), scale=1.0):
    a = np.radians(degrees)
    return Affine(matrix=scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]), shift=np.array(shift))


def corrected_as_asked(wcs, corrected, correction, plane):
    """Largest distance, mas, between corrected positions and what the correction asks for."""
    wanted = plane.deproject(correction(plane.project(*sky(wcs, X, Y))))
    return 1000.0 * separation(*sky(corrected, X, Y), *wanted).max()


@pytest.mark.parametrize(("ra", "dec"), FIELDS)
@pytest.mark.parametrize("aberration", [None, 1.00005])
def test_correction_does_what_it_says_everywhere(ra, dec, aberration):
    pointing = Pointing(ra=ra, dec=dec, roll=77.0)
    wcs = make_wcs(detector(), pointing, aberration=aberration)
    plane = TangentPlane.around(*sky(wcs, X, Y))
    correction = turned(0.1, (1.0, -2.0))
    corrected = correct(wcs, angles(detector(), pointing), correction, plane, pixel_bounds(wcs, (SIZE, SIZE)))
    assert corrected_as_asked(wcs, corrected, correction, plane) < 1e-3
    frames = ["detector", "v2v3", "v2v3vacorr", "v2v3corr", "world"]
    assert corrected.available_frames == [name for name in frames if aberration or name != "v2v3vacorr"]
    x, y = to_pixels(corrected, *sky(corrected, X, Y))
    assert np.allclose([x, y], [X, Y], atol=1e-6)


def test_each_detector_of_a_group_in_its_own_plane():
    pointing = Pointing(ra=80.0, dec=-69.5, roll=77.0)
    detectors = [detector(name) for name in ("NRCA1", "NRCA4", "NRCB3")]
    truths = [make_wcs(each, pointing) for each in detectors]
    plane = TangentPlane.around(*sky(truths[1], X, Y))
    correction = turned(0.05, (0.5, 0.3))
    for each, wcs in zip(detectors, truths, strict=True):
        corrected = correct(wcs, angles(each, pointing), correction, plane, pixel_bounds(wcs, (SIZE, SIZE)))
        assert corrected_as_asked(wcs, corrected, correction, plane) < 0.02


def test_twice_is_one_composed_correction_and_the_inverse_undoes_it():
    pointing = Pointing(ra=80.0, dec=-69.5, roll=77.0)
    wcs, of = make_wcs(detector(), pointing), angles(detector(), pointing)
    plane, bounds = TangentPlane.around(*sky(wcs, X, Y)), pixel_bounds(wcs, (SIZE, SIZE))
    first, second = turned(0.02, (0.3, -0.2)), turned(-0.05, (0.1, 0.4), 1.0001)
    twice = correct(correct(wcs, of, first, plane, bounds), of, second, plane, bounds)
    once = correct(wcs, of, second.after(first), plane, bounds)
    assert twice.available_frames.count("v2v3corr") == 1
    assert 1000.0 * separation(*sky(twice, X, Y), *sky(once, X, Y)).max() < 1e-3
    back = correct(twice, of, second.after(first).inverse, plane, bounds)
    assert 1000.0 * separation(*sky(back, X, Y), *sky(wcs, X, Y)).max() < 1e-3
    assert np.allclose(to_pixels(back, *sky(wcs, X, Y)), [X, Y], atol=1e-6)


@pytest.mark.parametrize("roll", [77, 77.0000000001, 0])
def test_corrected_again_with_angles_that_differ_in_the_last_digits(roll):
    pointing = Pointing(ra=80.0, dec=-69.5, roll=77.0)
    wcs, of = make_wcs(detector(), pointing), angles(detector(), pointing)
    plane, bounds = TangentPlane.around(*sky(wcs, X, Y)), pixel_bounds(wcs, (SIZE, SIZE))
    once = correct(wcs, of, turned(0.0, (0.3, 0.0)), plane, bounds)
    rounded = TelescopeAngles(v2_ref=round(of.v2_ref, 6), v3_ref=of.v3_ref, roll_ref=roll)
    correction = turned(0.0, (0.0, 0.2))
    assert corrected_as_asked(once, correct(once, rounded, correction, plane, bounds), correction, plane) < 1e-3


def test_integer_roll_in_the_metadata():
    pointing = Pointing(ra=80.0, dec=-69.5, roll=0.0)
    wcs = make_wcs(detector(), pointing)
    plane, bounds = TangentPlane.around(*sky(wcs, X, Y)), pixel_bounds(wcs, (SIZE, SIZE))
    of = TelescopeAngles(v2_ref=detector().v2_ref, v3_ref=detector().v3_ref, roll_ref=0)
    correction = turned(0.01, (0.1, 0.1))
    assert corrected_as_asked(wcs, correct(wcs, of, correction, plane, bounds), correction, plane) < 1e-3


def test_shapes_bounding_box_and_name_survive_and_the_input_is_not_changed():
    pointing = Pointing(ra=80.0, dec=-69.5, roll=77.0)
    wcs = make_wcs(detector(), pointing)
    wcs.name, wcs.bounding_box = "mine", ((3.5, 500.5), (10.5, 400.5))
    plane = TangentPlane.around(*sky(wcs, X, Y))
    before = sky(wcs, X, Y)
    bounds = pixel_bounds(wcs, (SIZE, SIZE))
    corrected = correct(wcs, angles(detector(), pointing), turned(0.0, (0.3, 0.0)), plane, bounds)
    assert bounds == ((3.5, 500.5), (10.5, 400.5))
    assert pixel_bounds(corrected, (SIZE, SIZE)) == bounds
    assert corrected.array_shape == (SIZE, SIZE)
    assert corrected.pixel_shape == (SIZE, SIZE)
    assert corrected.name == "mine"
    assert wcs.available_frames == ["detector", "v2v3", "world"]
    assert np.array_equal(before, sky(wcs, X, Y))


def test_asdf_round_trip(tmp_path):
    pointing = Pointing(ra=80.0, dec=-69.5, roll=77.0)
    wcs, of = make_wcs(detector(), pointing), angles(detector(), pointing)
    plane, bounds = TangentPlane.around(*sky(wcs, X, Y)), pixel_bounds(wcs, (SIZE, SIZE))
    corrected = correct(wcs, of, turned(0.02, (0.3, -0.2)), plane, bounds)
    asdf.AsdfFile({"wcs": corrected}).write_to(tmp_path / "wcs.asdf")
    with asdf.open(tmp_path / "wcs.asdf") as file:
        again = file["wcs"]
        assert np.array_equal(sky(again, X, Y), sky(corrected, X, Y))
        correction = turned(0.0, (-0.3, 0.0))
        assert corrected_as_asked(again, correct(again, of, correction, plane, bounds), correction, plane) < 1e-3


def test_wcs_without_v2v3_is_refused():
    with pytest.raises(WCSError, match="no GWCS"):
        correct(None, None, Affine(), None, None)


def test_s_region_is_the_polygon_of_the_outer_pixel_edges():
    wcs = make_wcs(detector(), Pointing(ra=80.0, dec=-69.5, roll=77.0))
    text = s_region(wcs, pixel_bounds(wcs, (SIZE, SIZE)))
    assert text.startswith("POLYGON ICRS  ")
    numbers = np.array(text.split()[2:], dtype=float).reshape(4, 2)
    edge = SIZE - 0.5
    expected = np.array(sky(wcs, [-0.5, edge, edge, -0.5], [-0.5, -0.5, edge, edge])).T
    assert np.allclose(numbers, expected, atol=1e-9)


def test_pixel_scale_near_the_pole():
    for dec in (0.0, 89.9999):
        wcs = make_wcs(detector(), Pointing(ra=80.0, dec=dec, roll=77.0))
        assert pixel_scale(wcs, pixel_bounds(wcs, (SIZE, SIZE))) == pytest.approx(0.031, rel=0.02)


def test_sip_is_within_its_accuracy_and_says_when_it_is_not():
    from astropy.io import fits
    from astropy.wcs import WCS

    wcs = make_wcs(detector(), Pointing(ra=80.0, dec=-69.5, roll=77.0))
    bounds = pixel_bounds(wcs, (SIZE, SIZE))
    good = approximate(wcs, SipConfig.of(), bounds, None)
    assert good.problem == ""
    header = fits.Header({key.upper(): value for key, value in good.keywords.items()})
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, SIZE, SIZE
    ra, dec = WCS(header).all_pix2world(X, Y, 0)
    assert separation(ra, dec, *sky(wcs, X, Y)).max() < 0.01 * 0.031 * 1.5
    assert good.keywords["sipmxerr"] < 0.01
    bad = approximate(wcs, SipConfig.of(degree=1, inv_degree=1), bounds, None)
    assert bad.keywords["sipmxerr"] > 0.01
    assert bad.problem
