"""The interface for exposures: a mission is a module, and any of them go into one run."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits

from helpers import run
from tweakreg import align
from tweakreg.errors import InputError
from tweakreg.observatory import missions
from tweakreg.observatory.exposure import ExposureImage, ExposureState
from tweakreg.plane import separation
from tweakreg.records import Pixels
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.hst import write_hst_scene
from tweakreg.simulate.models import make_models, write_scene
from tweakreg.simulate.pixels import render
from tweakreg.wcs.fits import FitsWcs

FIND = {"roundhi": 0.6, "kernel_fwhm": 2.0}


@pytest.fixture(scope="module")
def scene():
    return make_scene(size=256, n_exposures=4, n_visits=2, detectors=("NRCA1", "NRCA2"), n_stars=150, seed=3)


# --- a mission that does not exist, whole --------------------------------------------------------------------------


class SketchImage:
    """Pixels, a place, an affine WCS: a numpy file of a telescope that does not exist."""

    subgroup = follows_target = ""
    corrected, unfit, catalog_name, detector = False, None, None, "only one"
    selection: dict = {}  # noqa: RUF012

    def __init__(self, model):
        self.model, self.name, self.filename = model, Path(model.meta.filename).stem, model.meta.filename
        self.bounds = ((-0.5, model.pixels.shape[1] - 0.5), (-0.5, model.pixels.shape[0] - 0.5))

    wcs = property(lambda self: self.model.correction)
    wcs_name = property(lambda self: self.model.name)
    identity = property(lambda self: str(self.model.correction))

    def pixels(self, *, errors=False, dqbits=""):
        return Pixels(data=self.model.pixels, error=None, mask=self.model.pixels < -1e9, bounds=None)

    def sky(self, x, y):
        ra, dec = self.model.before(np.asarray(x, float), np.asarray(y, float), with_bounding_box=False)
        for plane, affine in self.model.correction:
            ra, dec = plane.deproject(affine(plane.project(ra, dec)))
        return ra, dec

    def footprint(self):
        (x0, x1), (y0, y1) = self.bounds
        return self.sky(np.array([x0, x1, x1, x0]), np.array([y0, y0, y1, y1]))

    def measured(self, catalog, group, catalog_name=None):
        ra, dec = self.sky(catalog.x, catalog.y)
        return ExposureImage(
            name=self.name, group=group, detector="", x=catalog.x, y=catalog.y, ra=ra, dec=dec, flux=catalog.flux,
            weight=None, footprint=self.footprint(), pixel_scale=0.031, epoch=np.nan,
        )  # fmt: skip

    def state(self):
        return ExposureState(wcs=self.model.correction, status="", result=self.model.result)

    def fitted_name(self, catalog, *, alone=False):
        return f"sketch of {catalog}"

    def correct(self, correction, plane, wcs_name):
        self.model.correction = [*self.model.correction, (plane, correction)]
        self.model.name = wcs_name

    def update_sip(self, config):
        return ""

    def write_result(self, tree):
        self.model.result = tree

    def write_status(self, status):
        self.model.status = status.value

    def nothing(self, *args):
        """Has no place for it."""

    write_fit = write_keywords = write_names = nothing


class SketchModel:
    """An open file of it."""

    crds_observatory = "sketch"
    get_crds_parameters = staticmethod(dict)

    def __init__(self, pixels, before, filename):
        self.pixels, self.before, self.meta = pixels, before, SimpleNamespace(filename=filename)
        self.correction, self.name, self.result, self.status = [], "", {}, ""

    def save(self, path, dir_path=None, *args, **kwargs):
        np.save(path, self.pixels)

    def copy(self):
        return self

    def close(self):
        """Nothing is open."""


def sketch():
    return SimpleNamespace(
        NAME="sketch", ENDINGS=(".npy",), OWN_LIBRARY=False, is_file=lambda path: path.suffix == ".npy",
        is_model=lambda model: isinstance(model, SketchModel), images=lambda model, path: [SketchImage(model)],
        group_of=lambda model: model.meta.filename, exptype=lambda model: "science",
        prepare=lambda model, filename: None, join=lambda model, member, association: None,
        check_savable=lambda model, path: None,
        output_name=lambda path, suffix, ending: f"{path.stem}_{suffix}{ending}",
    )  # fmt: skip


def test_a_mission_is_one_module(scene, monkeypatch):
    """Nothing else of the package knows of it."""
    monkeypatch.setattr(missions, "MISSIONS", (sketch(), *missions.MISSIONS))
    mine = [each for each in scene.exposures if each.detector.name == "NRCA1"]
    models = [SketchModel(render(scene, each)[0], each.wcs, f"{each.filename}.npy") for each in mine]
    result = align(models, catalog=scene.reference_catalog(), **FIND)
    assert [each.record.status.value for each in result] == ["COMPLETE"] * 4
    x, y = np.meshgrid(np.linspace(0, 255, 5), np.linspace(0, 255, 5))
    for model, exposure in zip(models, mine, strict=True):
        assert model.status == "COMPLETE"
        assert model.result["name"] == f"{exposure.filename}"
        now, truth = SketchImage(model).sky(x, y), exposure.truth(x, y, with_bounding_box=False)
        assert 1e3 * separation(*now, *truth).max() < 2.0


# --- several missions in one run -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(scene, tmp_path_factory):
    """An association of two exposures of HST and two of JWST of one sky."""
    folder = tmp_path_factory.mktemp("mixed")
    hst = write_hst_scene(scene, folder)[:2]
    write_scene(scene, folder)
    jwst = [folder / each.filename for each in scene.exposures if each.number >= 2]
    asn = folder / "mixed_asn.json"
    members = [{"expname": path.name, "exptype": "science"} for path in (*hst, *jwst)]
    asn.write_text(json.dumps({"asn_type": "image3", "products": [{"name": "mixed", "members": members}]}))
    return asn


@pytest.mark.parametrize("in_memory", [True, False])
def test_missions_in_one_alignment(scene, mixed, tmp_path, in_memory):
    refcat = str(mixed.with_name("refcat.ecsv"))
    run(str(mixed), abs_refcat=refcat, in_memory=in_memory, save_results=True, output_dir=str(tmp_path), **FIND)
    made = json.loads((tmp_path / "mixed_tweakreg_asn.json").read_text())
    names = [member["expname"] for member in made["products"][0]["members"]]
    assert names[:2] == ["jsim0101q_flc.fits", "jsim0202q_flc.fits"]
    assert all(re.fullmatch(r"jw.*_tweakreg.fits", name) for name in names[2:])
    found = {}
    for name in names[:2]:
        with fits.open(tmp_path / name) as hdus:
            number = int(name[6:8]) - 1
            chips = [each for each in scene.exposures if each.number == number]
            for version, chip in enumerate(chips, start=1):
                found[chip.filename] = FitsWcs(hdus["SCI", version].header, hdus)
    for each in scene.exposures:
        if each.number >= 2:
            with missions.open_model(tmp_path / each.filename.replace("_cal", "_tweakreg")) as model:
                found[each.filename] = model.meta.wcs
    assert score(found, scene.truth, 256).absolute.max() < 2.0


def test_an_image_of_several_chips_is_a_reference(scene, mixed):
    """All of its chips have the stars, at the places that its header gives them."""
    hst = mixed.parent / "jsim0101q_flc.fits"
    result = align(list(make_models(scene)), refimage=str(hst), **FIND)
    assert {each.absolute.outcome.name for each in result} == {"ALIGNED"}
    first = next(each for each in scene.exposures if each.number == 0)
    with missions.opened(hst) as images:
        x, y = np.array([20.0, 200.0]), np.array([30.0, 180.0])
        wanted = images[0].sky(x, y)
    model = result.library
    with model:
        aligned = model.borrow(0)
        now = aligned.meta.wcs(x, y)
        model.shelve(aligned, 0, modify=False)
    assert aligned.meta.filename == first.filename
    assert 1e3 * separation(*now, *wanted).max() < 2.0


def test_what_is_no_exposure_of_any_mission(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "x.fits")
    with pytest.raises(InputError, match=r"x\.fits"):
        align([str(tmp_path / "x.fits")] * 2)
