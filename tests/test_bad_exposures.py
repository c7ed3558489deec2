"""One bad exposure is an outcome of that exposure: the others go on, and what is said names the keyword."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.modeling.models import Const1D, Identity, Mapping, Shift

from helpers import run, statuses
from tweakreg.observatory.missions import image_of
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import make_models

GOOD = {"roundhi": 0.6, "minobj": 10, "abs_minobj": 10}


def keyword(name, value):
    def change(model):
        # Past the schema, as a file may have it.
        model.meta.wcsinfo.instance[name] = value

    return change


def nan_wcs(model):
    wcs = model.meta.wcs
    wcs.insert_transform("v2v3", Shift(np.nan) & Shift(0.0))
    model.meta.wcs = wcs


def three_inputs(model):
    import gwcs
    from gwcs import coordinate_frames as frames

    steps = [(step.frame, step.transform) for step in model.meta.wcs.pipeline]
    detector = frames.CoordinateFrame(3, ("SPATIAL",) * 3, (0, 1, 2), unit=("pix",) * 3, name="detector")
    model.meta.wcs = gwcs.WCS([(detector, Mapping((0, 1), n_inputs=3) | steps[0][1]), *steps[1:]])


def infinite_box(model):
    model.meta.wcs.bounding_box = ((np.inf, np.inf), (-0.5, 255.5))


def one_place(model):
    wcs = model.meta.wcs
    wcs.insert_transform("v2v3", (Const1D(120.0) & Const1D(-500.0)))
    wcs.bounding_box = ((-0.5, 255.5), (-0.5, 255.5))
    model.meta.wcs = wcs


def far_away(model):
    wcs = model.meta.wcs
    wcs.insert_transform("world", Shift(0.0) & Shift(100.0))
    wcs.bounding_box = ((-0.5, 255.5), (-0.5, 255.5))
    model.meta.wcs = wcs


BAD = {
    "v2_ref missing": (keyword("v2_ref", None), "meta.wcsinfo.v2_ref is missing"),
    "v3_ref NaN": (keyword("v3_ref", float("nan")), "meta.wcsinfo.v3_ref = nan is no number"),
    "v2_ref text": (keyword("v2_ref", "x"), "meta.wcsinfo.v2_ref = 'x' is no number"),
    "v2_ref absurd": (keyword("v2_ref", 1e9), "meta.wcsinfo.v2_ref = 1000000000.0 is"),
    "roll_ref infinite": (keyword("roll_ref", float("inf")), "meta.wcsinfo.roll_ref = inf is no number"),
    "roll_ref absurd": (keyword("roll_ref", 1e6), "meta.wcsinfo.roll_ref = 1000000.0 is no angle"),
    "crpix NaN": (keyword("crpix1", float("nan")), "meta.wcsinfo.crpix1 = nan is no number"),
    "crpix absurd": (keyword("crpix2", 1e12), "meta.wcsinfo.crpix2 = 1000000000000.0 is no pixel"),
    "WCS of NaN": (nan_wcs, "its WCS gives NaN"),
    "three inputs": (three_inputs, "3 inputs and 2 outputs"),
    "box without pixels": (infinite_box, "the bounding box of its WCS holds no pixels"),
    "100 degrees away": (far_away, "degrees away"),
}


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("kind", BAD)
def test_one_bad_exposure(kind, absolute, tmp_path, caplog):
    change, said = BAD[kind]
    scene = make_scene(size=256, n_exposures=3, n_stars=150, seed=1)
    scene.reference_catalog().write(tmp_path / "ref.ecsv")
    models = list(make_models(scene))
    change(models[1])
    library = run(models, abs_refcat=str(tmp_path / "ref.ecsv") if absolute else "", **GOOD)
    assert statuses(library) == ["COMPLETE", "FAILED", "COMPLETE"]
    assert said in caplog.text


@pytest.mark.parametrize("ephemeris", [{"spatial_x_bary": "x", "spatial_y_bary": 1, "spatial_z_bary": 1}, {}])
def test_an_ephemeris_of_text_is_not_used(ephemeris):
    (model,) = make_models(make_scene(size=64, n_exposures=1), pixels=False)
    model.meta.instance["ephemeris"] = ephemeris
    assert image_of(model)._observer() is None


def test_a_bounding_box_beyond_the_image_ends_at_its_edges():
    (model,) = make_models(make_scene(size=64, n_exposures=1), pixels=False)
    model.data = np.zeros((40, 50), dtype=np.float32)
    assert image_of(model).bounds == ((-0.5, 49.5), (-0.5, 39.5))


def test_all_exposures_bad(caplog):
    models = list(make_models(make_scene(size=64, n_exposures=2), pixels=False))
    for model in models:
        model.meta.wcsinfo.v2_ref = None
    assert statuses(run(models, abs_refcat="GAIADR3", save_report=False)) == ["FAILED"] * 2


def test_plots_of_a_run_with_a_bad_exposure(tmp_path):
    models = list(make_models(make_scene(size=256, n_exposures=3, n_stars=150, seed=1)))
    models[1].meta.wcsinfo.roll_ref = None
    run(models, save_plots=True, save_report=True, output_dir=str(tmp_path), **GOOD)
    assert list(tmp_path.glob("*_report.html"))


def test_a_mosaic_among_the_exposures_is_left_out(caplog):
    import gwcs

    models = list(make_models(make_scene(size=256, n_exposures=3, n_stars=150, seed=1)))
    old = models[1].meta.wcs
    models[1].meta.wcs = gwcs.WCS(
        [(old.pipeline[0].frame, old.forward_transform | Identity(2)), (old.output_frame, None)]
    )
    assert statuses(run(models, **GOOD)) == ["COMPLETE", "FAILED", "COMPLETE"]
    assert "it is a combined image, not an exposure of a detector" in caplog.text
    assert "run assign_wcs" not in caplog.text
