"""Advice names what helps in the case at hand."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import FK4, SkyCoord
from astropy.table import Table

from helpers import run, statuses
from tweakreg.records import Outcome, Stage, for_stage
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.models import make_models
from tweakreg.spec import DEFAULTS


@pytest.fixture(scope="module")
def field():
    return make_scene(size=256, n_exposures=3, n_stars=150, seed=1)


def aligned(scene, change=lambda model: None, **parameters):
    models = list(make_models(scene))
    change(models[1])
    return run(models, **{"roundhi": 0.6} | parameters)


def test_the_absolute_stage_names_its_own_parameters():
    for outcome in Outcome:
        words = set(for_stage(outcome.remedy + " " + outcome.sentence, Stage.ABSOLUTE).replace(",", " ").split())
        assert not {name for name in words if {name, f"abs_{name}"} <= DEFAULTS.keys()}
    assert for_stage("raise searchrad", Stage.RELATIVE) == "raise searchrad"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"sharplo": 0.4, "sharphi": 0.41}, "peaks above the threshold are rejected by sharphi 13"),
        ({"snr_threshold": 1e5}, "nothing is above the threshold: lower snr_threshold"),
    ],
)
def test_why_there_are_few_sources(field, parameters, said, caplog):
    aligned(field, **parameters)
    assert said in caplog.text


def test_an_image_of_nan_and_one_that_is_blank(field, caplog):
    def nan(model):
        model.data[:] = np.nan

    def blank(model):
        model.data[:] = 7.0

    for change, said in ((nan, "no pixel is usable"), (blank, "its pixels are all alike")):
        assert statuses(aligned(field, change)) == ["COMPLETE", "FAILED", "COMPLETE"]
        assert said in caplog.text


def test_stars_of_an_image_without_noise(field):
    models = list(make_models(field))
    for model in models:
        model.data[:] = np.where(model.data > 300.0, model.data - 50.0, 0.0)
        model.dq[:] = 0
    assert statuses(run(models, roundhi=0.6, minobj=8)) == ["COMPLETE"] * 3


def test_what_a_wider_search_would_find(caplog):
    scene = make_scene(size=256, n_exposures=3, n_stars=150, seed=1, extra_errors=((1, 5.0, 3.0, 0.0),))
    assert statuses(aligned(scene)) == ["COMPLETE", "FAILED", "COMPLETE"]
    assert 'stars match at an offset of (5.00, 2.99)": searchrad=7 reaches it' in caplog.text
    assert statuses(aligned(scene, searchrad=7.0)) == ["COMPLETE"] * 3


@pytest.mark.parametrize("offset", [{"abs_xoffset": 9.0, "abs_yoffset": -4.0}, {"xoffset": 9.0, "yoffset": -4.0}])
def test_an_offset_to_the_catalog_that_is_known(offset, tmp_path):
    errors = tuple((number, 9.0, -4.0, 0.0) for number in range(3))
    scene = make_scene(size=256, n_exposures=3, n_stars=150, visit_error=0.0, extra_errors=errors, seed=4)
    scene.reference_catalog().write(tmp_path / "ref.ecsv")
    library = aligned(scene, abs_refcat=str(tmp_path / "ref.ecsv"), **offset)
    assert statuses(library) == ["COMPLETE"] * 3
    with library:
        models = list(library)
        found = {each.filename: m.meta.wcs for each, m in zip(scene.exposures, models, strict=True)}
        for index, model in enumerate(models):
            library.shelve(model, index, modify=False)
    assert score(found, scene.truth, 256).absolute.max() < 3.0


@pytest.mark.parametrize("kind", ["elsewhere", "swapped", "B1950"])
def test_where_a_catalog_lies_instead(kind, tmp_path, caplog):
    scene = make_scene(size=256, n_exposures=2, n_stars=150, seed=1, ra=40.0, dec=20.0)
    table = scene.reference_catalog()
    old = SkyCoord(table["RA"], table["DEC"]).transform_to(FK4(equinox="B1950"))
    made, said = {
        "elsewhere": (Table({"RA": table["RA"] + 3.0, "DEC": table["DEC"]}), "stars is 2.8"),
        "swapped": (Table({"RA": table["DEC"], "DEC": table["RA"]}), "set refxcol and refycol"),
        "B1950": (Table({"RA": old.ra.deg, "DEC": old.dec.deg}), "of B1950: convert them to ICRS"),
    }[kind]
    made.write(tmp_path / "ref.ecsv")
    assert statuses(aligned(scene, abs_refcat=str(tmp_path / "ref.ecsv"))) == ["FAILED"] * 2
    assert "no star of the reference catalog lies on the exposures" in caplog.text
    assert said in caplog.text
