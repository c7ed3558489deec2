"""The simulation itself, and the demo."""

import numpy as np
import pytest

from tweakreg.cli import main
from tweakreg.plane import separation
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.pixels import add_stars, render
from tweakreg.wcs.footprint import to_pixels


def test_true_positions_are_exact(scene):
    for exposure in scene.exposures:
        x, y = to_pixels(exposure.truth, scene.ra, scene.dec)
        near = (np.abs(x - 128) < 140) & (np.abs(y - 128) < 140)
        ra, dec = exposure.truth(x[near], y[near], with_bounding_box=False)
        assert separation(ra, dec, scene.ra[near], scene.dec[near]).max() < 1e-8


def test_distortion_is_several_pixels_and_differs_between_detectors():
    scene = make_scene(size=2048, detectors=("NRCA1", "NRCB4"), n_exposures=1)
    shapes = []
    for exposure in scene.exposures:
        ra, dec = exposure.truth(np.array([0.0, 1023.5, 2047.0]), np.array([0.0, 1023.5, 2047.0]))
        halves = separation(ra[:-1], dec[:-1], ra[1:], dec[1:])
        shapes.append((halves[0] - halves[1]) / exposure.detector.pixel_scale)
    assert np.abs(shapes).max() > 0.5
    assert abs(shapes[0] - shapes[1]) > 0.1


@pytest.mark.parametrize(("fwhm", "pixel_phase"), [(3.0, 1e-6), (2.0, 1e-4), (1.0, 0.03)])
def test_flux_and_centroid_of_a_star(fwhm, pixel_phase):
    image = np.zeros((41, 41))
    add_stars(image, np.array([20.3]), np.array([19.8]), np.array([1000.0]), fwhm)
    y, x = np.indices(image.shape)
    assert image.sum() == pytest.approx(1000.0, rel=1e-6)
    assert (image * x).sum() / image.sum() == pytest.approx(20.3, abs=pixel_phase)
    assert (image * y).sum() / image.sum() == pytest.approx(19.8, abs=pixel_phase)


def test_noise_saturation_and_bad_pixels(scene):
    data, error, saturated, bad = render(make_scene(scene.config, brightest=1e7, bad_pixels=0.01), scene.exposures[0])
    sky = (error < error.min() * 1.001) & ~bad
    assert np.std(data[sky]) == pytest.approx(error.min(), rel=0.05)
    assert saturated.any()
    assert bad.mean() == pytest.approx(0.01, rel=0.2)


def test_the_same_seed_is_the_same_scene(scene):
    again = make_scene(scene.config)
    assert np.array_equal(again.ra, scene.ra)
    one, other = render(scene, scene.exposures[0]), render(again, again.exposures[0])
    assert np.array_equal(one[0], other[0], equal_nan=True)
    assert not np.array_equal(make_scene(scene.config, seed=99).ra, scene.ra)


def test_score_of_the_truth_is_zero_and_of_the_files_is_the_pointing_error(scene):
    perfect = score(scene.truth, scene.truth, 256)
    assert perfect.absolute.max() < 1e-9
    wrong = score({each.filename: each.wcs for each in scene.exposures}, scene.truth, 256)
    assert wrong.absolute.min() > 20.0
    assert wrong.relative.min() > 1.0


def test_a_common_shift_is_no_relative_error():
    truth, moved = make_scene(size=256, n_exposures=3), make_scene(size=256, n_exposures=3, dec=-69.5001)
    wrong = {a.filename: b.truth for a, b in zip(truth.exposures, moved.exposures, strict=True)}
    result = score(wrong, truth.truth, 256)
    assert result.absolute.min() > 1.0
    assert result.relative.max() < 1e-3 * result.absolute.max()


@pytest.mark.parametrize("mission", ["hst", "roman"])
def test_demo_of_other_missions(tmp_path, capsys, mission):
    if mission == "roman":
        pytest.importorskip("roman_datamodels")
    options = [f"--mission={mission}", "--size=256", "--exposures=3", f"--plot={tmp_path / 'a.png'}"]
    assert main(["demo", str(tmp_path / "demo"), *options]) == 0
    said = capsys.readouterr().out
    assert said.count("COMPLETE") == 6
    before, after = map(float, said.splitlines()[-2].split()[1:3])
    assert before > 20.0
    assert after < 2.0
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_demo(tmp_path, capsys):
    arguments = ["demo", str(tmp_path / "demo"), "--size=256", "--exposures=3", f"--plot={tmp_path / 'a.png'}"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.count("COMPLETE") == 6
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert main(["demo", str(tmp_path / "demo")]) == 1
    assert "is not empty" in capsys.readouterr().err
