"""Roman exposures: simulated ones with known truth, and those of romancal where they are at hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from stpipe.library import AbstractModelLibrary

from helpers import environment, look, run, statuses, strun, write_association
from tweakreg import ModelLibrary, read_result
from tweakreg.cli import main
from tweakreg.errors import InputError
from tweakreg.find.custom import read_catalog
from tweakreg.observatory import jwst, roman
from tweakreg.observatory.missions import MISSIONS, group_of_file, image_of, mission_of, open_model
from tweakreg.plane import MAS_PER_ARCSEC, TangentPlane
from tweakreg.records import Outcome
from tweakreg.simulate import make_scene, score_library
from tweakreg.simulate.models import make_catalog, make_model, make_roman_model
from tweakreg.wcs.corrector import make_corrector
from tweakreg.wcs.footprint import sky
from tweakreg.wcs.identity import wcs_hash

datamodels = pytest.importorskip(
    "roman_datamodels.datamodels", reason="Roman exposures need roman_datamodels: pip install 'tweakreg[roman]'"
)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

FRAMES = ["detector", "v2v3", "v2v3vacorr", "world"]


@pytest.fixture(scope="module")
def sky_scene():
    """Two exposures of two detectors, with pixels and point sources like WFI's."""
    return make_scene(
        size=256, n_exposures=2, n_stars=150, detectors=("NRCA1", "NRCA2"), aberration=True, pixel_scale=0.11, fwhm=1.3,
        roll_error=0.001, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(sky_scene, tmp_path_factory):
    """Its files, association and reference catalog; the files are not changed."""
    path = tmp_path_factory.mktemp("roman")
    names = []
    for exposure in sky_scene.exposures:
        model = make_roman_model(sky_scene, exposure)
        model.save(path / model.meta.filename)
        names.append(model.meta.filename)
    sky_scene.reference_catalog().write(path / "refcat.ecsv")
    write_association(path / "asn.json", names, table_name="asn.json", asn_pool="none", skycell_wcs_info="none")
    return path


@pytest.fixture(scope="module")
def aligned(folder, tmp_path_factory):
    """What the step writes of them, with corrections."""
    output = tmp_path_factory.mktemp("aligned")
    options = {"abs_refcat": str(folder / "refcat.ecsv"), "output_dir": str(output)}
    run(str(folder / "asn.json"), save_results=True, save_correction=True, **options)
    return output


def opened(path):
    """A copy of the datamodel in a file."""
    with open_model(path) as model:
        return model.copy()


def files(path, pattern="*.asdf"):
    return sorted(each for each in path.glob(pattern) if "_correction" not in each.name)


# --- what belongs to the mission ------------------------------------------------------------------------------


def test_the_mission_is_known_by_content(folder, scene_files, tmp_path):
    renamed = tmp_path / "a.fits"
    renamed.write_bytes(files(folder)[0].read_bytes())
    assert mission_of(renamed) is roman
    model = make_model(make_scene(size=64, n_stars=5), make_scene(size=64, n_stars=5).exposures[0], pixels=False)
    model.save(tmp_path / "b.asdf")
    for path in (tmp_path / "b.asdf", next(scene_files.parent.glob("*.fits")), tmp_path / "none.asdf", tmp_path):
        assert mission_of(path) is jwst
    assert MISSIONS[-1] is jwst
    assert mission_of(opened(files(folder)[0])) is roman
    assert mission_of(model) is jwst


def test_without_the_datamodels_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "roman_datamodels", None)
    with pytest.raises(InputError, match=r"pip install 'tweakreg\[roman\]'"):
        run(str(files(folder)[0]))


def test_groups_are_exposures(folder):
    groups = [group_of_file(path) for path in files(folder)]
    assert groups == ["00009990010010010010001"] * 2 + ["00009990010010010010002"] * 2
    library = ModelLibrary(folder / "asn.json")
    assert [member["group_id"] for member in library.members] == groups
    assert library.crds_observatory == "roman"
    assert look(library, lambda model: (model.meta.get("group_id"), model.meta.asn.pool_name)) == [(None, "none")] * 4


def test_a_group_of_the_association_is_kept(folder, tmp_path):
    members = [{"expname": str(path), "exptype": "SCIENCE", "group_id": "mine"} for path in files(folder)[:2]]
    library = ModelLibrary(write_association(tmp_path / "asn.json", members))
    assert look(library, lambda model: model.meta.group_id) == ["mine", "mine"]


def test_parameters_are_chosen_and_crds_is_asked_for_roman(folder):
    from tweakreg import TweakRegStep

    for dataset in (str(folder / "asn.json"), ModelLibrary(folder / "asn.json"), opened(files(folder)[0])):
        header, observatory = TweakRegStep._get_crds_parameters(dataset)
        assert observatory == "roman"
        assert header["meta.instrument.optical_element"] == "F158"
        config = TweakRegStep.get_config_from_reference(dataset)
        assert config["sigma_radius"] == 3.0
        assert config["in_memory"] is False


# --- end to end -----------------------------------------------------------------------------------------------


def test_in_memory_against_the_truth(sky_scene, folder):
    models = [opened(path) for path in files(folder)]
    before = [wcs_hash(model.meta.wcs) for model in models]
    library = run(models, abs_refcat=str(folder / "refcat.ecsv"))
    assert statuses(library) == ["COMPLETE"] * 4
    result = score_library(library, sky_scene)
    assert result.absolute.max() < 0.6
    assert result.relative.max() < 0.5
    assert [wcs_hash(model.meta.wcs) for model in models] == before


def test_on_disk_it_is_the_same(sky_scene, aligned, folder):
    library = ModelLibrary(aligned / "asn_tweakreg_asn.json")
    result = score_library(library, sky_scene)
    assert result.absolute.max() < 0.6
    in_memory = run(str(folder / "asn.json"), in_memory=True, abs_refcat=str(folder / "refcat.ecsv"))
    assert look(library, lambda model: wcs_hash(model.meta.wcs)) == look(
        in_memory, lambda model: wcs_hash(model.meta.wcs)
    )


def test_what_is_written(aligned, folder):
    originals = {path.name.replace("_cal", "_tweakreg"): opened(path) for path in files(folder)}
    assert {path.name for path in files(aligned)} == set(originals)
    for path in files(aligned):
        model, before = opened(path), originals[path.name]
        model.validate()
        meta = model.meta
        assert meta.filename == path.name
        assert meta.cal_step.tweakreg == "COMPLETE"
        assert meta.wcs.name == f"FIT-LVL2-{folder / 'refcat.ecsv'}"
        assert meta.wcs.available_frames == [*FRAMES[:3], "v2v3corr", "world"]
        assert meta.wcs.pipeline[2].transform.name.startswith("Roman")
        assert meta.wcsinfo.s_region != before.meta.wcsinfo.s_region
        fit = meta.wcs_fit_results
        assert (fit.status, fit.fitgeom) == ("SUCCESS", "rshift")
        assert fit.nmatches > 20
        assert 0.0 < fit.mae <= fit.rmse < 0.01  # arcsec
        result = read_result(path)
        assert result == read_result(model)
        assert result["status"] == "COMPLETE"
        assert result["parameters"]["kernel_fwhm"]["origin"].endswith("roman_wfi_pars-tweakregstep_imaging.asdf")
        np.testing.assert_array_equal(model.data, before.data)
        assert not {"a_order", "crpix1"} & set(meta.wcsinfo)


def test_strun_ends_with_zero(folder, tmp_path):
    done = strun("tweakreg.TweakRegStep", folder / "asn.json", "--output_dir=.", cwd=tmp_path, **environment())
    assert done.returncode == 0, done.stderr
    assert "4 COMPLETE" in done.stdout + done.stderr
    members = json.loads((tmp_path / "asn_tweakreg_asn.json").read_text())["products"][0]["members"]
    assert [member["expname"] for member in members] == [path.name for path in files(tmp_path)]


def test_an_image_that_fails_has_a_fit_that_says_so(folder):
    models = [opened(path) for path in files(folder)]
    models[3]["data"] = np.full_like(np.asarray(models[3].data), 1.0)
    library = run(models[2:], group_by="image", abs_refcat=str(folder / "refcat.ecsv"))
    assert statuses(library) == ["COMPLETE", "FAILED"]
    fits = look(library, lambda model: dict(model.meta.wcs_fit_results))
    assert fits[1] == {"status": "FAILED", "nmatches": 0}


def test_jwst_and_roman_in_one_run(sky_scene, folder, tmp_path):
    first = sky_scene.exposures[0]
    jwst_model = make_model(sky_scene, first)
    jwst_model.save(tmp_path / jwst_model.meta.filename)
    inputs = [*map(str, files(folder)), str(tmp_path / jwst_model.meta.filename)]
    library = run(inputs, abs_refcat=str(folder / "refcat.ecsv"), save_results=True, output_dir=str(tmp_path / "out"))
    assert statuses(library) == ["COMPLETE"] * 5
    assert len(files(tmp_path / "out")) == 4
    assert len(list((tmp_path / "out").glob("*_tweakreg.fits"))) == 1


# --- corrections ----------------------------------------------------------------------------------------------


def test_a_correction_is_undone_and_applied(aligned, folder, tmp_path, capsys):
    (correction,) = aligned.glob("*0002_correction.asdf")
    results = files(aligned, "*_0002_wfi*")
    assert main(["correction", "undo", str(correction), *map(str, results), "--output-dir", str(tmp_path)]) == 0
    for path, original in zip(files(tmp_path), files(folder, "*_0002_wfi*"), strict=True):
        now, before = opened(path), opened(original)
        assert wcs_hash(now.meta.wcs) == wcs_hash(before.meta.wcs)
        assert now.meta.wcsinfo.s_region == before.meta.wcsinfo.s_region
        assert now.meta.cal_step.tweakreg == "INCOMPLETE"
        assert not {"tweakreg", "wcs_fit_results"} & set(now.meta)
    again = tmp_path / "again"
    again.mkdir()
    arguments = [str(correction), *map(str, files(folder, "*_0002_wfi*")), "--output-dir", str(again)]
    assert main(["correction", "apply", *arguments]) == 0
    for path, result in zip(files(again), results, strict=True):
        now, before = opened(path), opened(result)
        assert wcs_hash(now.meta.wcs) == wcs_hash(before.meta.wcs)
        assert dict(now.meta.wcs_fit_results) == dict(before.meta.wcs_fit_results)
        assert now.meta.cal_step.tweakreg == "COMPLETE"
    assert main(["correction", "show", str(correction)]) == 0
    assert "WFI01" in capsys.readouterr().out


def test_a_correction_of_romancal_is_composed_with_and_restart_takes_it_out(folder):
    """romancal lets the same corrector of tweakwcs make its correction."""
    models = [opened(path) for path in files(folder)]
    original = [wcs_hash(model.meta.wcs) for model in models]
    for model in models:
        corrector = make_corrector(model.meta.wcs, image_of(model).angles)
        assert type(corrector).__name__ == "RomanWCSCorrector"
        corrector.set_correction(shift=(0.2, -0.1))
        model.meta["wcs"] = corrector.wcs
        model.meta.wcs.name = "FIT-LVL2-GAIADR3_S3"
    options = {"abs_refcat": str(folder / "refcat.ecsv")}
    composed, restarted = run(models, **options), run(models, restart=True, **options)
    for library in (composed, restarted):
        assert statuses(library) == ["COMPLETE"] * 4
        frames = look(library, lambda model: model.meta.wcs.available_frames)
        assert frames == [[*FRAMES[:3], "v2v3corr", "world"]] * 4
    x, y = np.array([0.0, 128.0, 255.0]), np.array([0.0, 200.0, 255.0])
    places = [np.array(look(library, lambda model: sky(model.meta.wcs, x, y))) for library in (composed, restarted)]
    assert np.abs(places[0] - places[1]).max() * 3.6e6 < 0.5
    from tweakreg.wcs.corrector import uncorrected

    assert look(restarted, lambda model: wcs_hash(uncorrected(model.meta.wcs))) == original


# --- libraries and catalogs -----------------------------------------------------------------------------------


class PipelineLibrary(AbstractModelLibrary):
    """As romancal's: what the next step of its pipeline takes."""

    @property
    def crds_observatory(self):
        return "roman"

    def _datamodels_open(self, filename, **kwargs):
        return open_model(filename, **kwargs)

    @classmethod
    def _load_asn(cls, path):
        with open(path) as file:  # noqa: PTH123
            return json.load(file)

    def _model_to_group_id(self, model):
        return model.meta.observation.observation_id

    def _filename_to_group_id(self, filename):
        return group_of_file(filename)

    def _assign_member_to_model(self, model, member):
        pass


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_library_of_the_pipeline_comes_back_as_one(folder, tmp_path, monkeypatch, on_disk):
    monkeypatch.chdir(tmp_path)
    given = PipelineLibrary(str(folder / "asn.json"), on_disk=on_disk)
    options = {"abs_refcat": str(folder / "refcat.ecsv"), "save_results": True, "output_dir": str(tmp_path / "out")}
    library = run(given, **options)
    assert type(library) is PipelineLibrary
    assert statuses(library) == ["COMPLETE"] * 4
    assert library.group_indices == given.group_indices
    assert library.asn["asn_pool"] == "none"
    assert statuses(given) == ["INCOMPLETE"] * 4
    assert [opened(path).meta.cal_step.tweakreg for path in files(tmp_path / "out")] == ["COMPLETE"] * 4
    assert len(list((tmp_path / "out").glob("*_tweakreg_asn.json"))) == 1


def test_source_catalogs_of_romancal(sky_scene, folder, tmp_path):
    """Named in the exposures, with positions of point sources and flags."""
    models = []
    for path, exposure in zip(files(folder), sky_scene.exposures, strict=True):
        model, catalog = opened(path), make_catalog(sky_scene, exposure)
        table = Table({"x_centroid": catalog.x + 0.1, "y_centroid": catalog.y, "x_psf": catalog.x, "y_psf": catalog.y})
        table["psf_flux"], table["warning_flags"] = catalog.flux, np.zeros(len(catalog), dtype=np.int32)
        table["warning_flags"][0], table["warning_flags"][1], table["x_psf"][2] = 1, 2, np.nan
        name = tmp_path / path.name.replace("_cal.asdf", "_cat.parquet")
        table.write(name)
        read = read_catalog(name)
        np.testing.assert_allclose(read.x, np.delete(catalog.x, [0, 2]))
        np.testing.assert_allclose(read.flux, np.delete(catalog.flux, [0, 2]))
        model.meta["source_catalog"] = {"tweakreg_catalog_name": str(name)}
        models.append(model)
    library = run(models, use_custom_catalogs=True, abs_refcat=str(folder / "refcat.ecsv"))
    assert statuses(library) == ["COMPLETE"] * 4
    assert score_library(library, sky_scene).absolute.max() < 0.6


# --- what an exposure can lack --------------------------------------------------------------------------------


def test_pixels_and_their_errors(folder):
    model = opened(files(folder)[0])
    flags = np.zeros(model.dq.shape, dtype=np.uint32)
    flags[0, :4] = 1, 512, 4, 2
    model["dq"] = flags
    model["err"] = np.full(model.data.shape, 300.0, dtype=np.float16)
    pixels = image_of(model).pixels(errors=True)
    assert pixels.mask[0, :5].tolist() == [True, True, False, False, False]
    assert pixels.error.dtype == np.float32
    assert image_of(model).pixels(dqbits="~JUMP_DET").mask[0, :4].tolist() == [False, False, True, False]


def test_times_and_places(folder, caplog):
    model = opened(files(folder)[0])
    measured = image_of(model).measured(make_empty(), "g")
    assert measured.epoch == pytest.approx(2025.0)
    assert measured.observer is None
    model.meta["ephemeris"] = {f"spatial_{axis}": value for axis, value in zip("xyz", (1.5e8, 0, 0), strict=True)}
    assert image_of(model).measured(make_empty(), "g").observer[0] == pytest.approx(1.0027, abs=1e-4)
    assert not caplog.records


def make_empty():
    from tweakreg.records import SourceCatalog

    return SourceCatalog.empty("none", "")


@pytest.mark.parametrize(
    ("name", "value"), [("v2_ref", -999999.0), ("roll_ref", 5e5), ("v3_ref", "?"), ("v3_ref", None)]
)
def test_implausible_metadata_are_an_outcome_of_the_image(folder, name, value):
    models = [opened(path) for path in files(folder)]
    models[0].meta.wcsinfo[name] = value
    outcome, why = image_of(models[0]).unfit
    assert outcome is Outcome.IMPLAUSIBLE
    assert f"meta.wcsinfo.{name}" in why
    assert statuses(run(models, abs_refcat=str(folder / "refcat.ecsv"))) == ["FAILED", *["COMPLETE"] * 3]


@pytest.mark.parametrize("part", ["wcs", "cal_step"])
def test_what_is_no_calibrated_image_is_refused(folder, part):
    model = opened(files(folder)[0])
    del model.meta[part]
    with pytest.raises(InputError, match="no calibrated Roman image"):
        run(model)


# --- romancal's own files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_data):
    if not (real_data / "roman_l2").is_dir():
        pytest.skip("there is no folder roman_l2 in TWEAKREG_REALDATA")
    return real_data / "roman_l2"


def errors(library, real):
    """Of each image, root mean square over the detector: absolute, and relative to a common shift and turn; mas."""
    plane = TangentPlane(ra=79.91, dec=-30.0)

    def compared(model):
        stem = model.meta.filename.split("_cal")[0]
        with np.load(next(real.glob(f"{stem}_cal_*truth.npz"))) as truth:
            x, y, ra, dec = (truth[name].ravel() for name in ("gx", "gy", "ra", "dec"))
        place = plane.project(ra, dec)
        return place, (plane.project(*sky(model.meta.wcs, x, y)) - place) * MAS_PER_ARCSEC

    places, differences = (np.array(each) for each in zip(*look(library, compared), strict=True))
    design = np.zeros((*differences.shape, 3))
    design[..., 0, 0] = design[..., 1, 1] = 1.0
    design[..., 0, 2], design[..., 1, 2] = -places[..., 1], places[..., 0]
    common = np.linalg.lstsq(design.reshape(-1, 3), differences.ravel(), rcond=None)[0]
    return [np.sqrt(np.mean(np.sum(each**2, axis=2), axis=1)) for each in (differences, differences - design @ common)]


@pytest.mark.usefixtures("lenient")
def test_six_detectors_against_the_truth(real):
    library = run(str(real / "asn.json"), abs_refcat=str(real / "gaia.ecsv"))
    assert statuses(library) == ["COMPLETE"] * 6
    absolute, relative = errors(library, real)
    assert absolute.max() <= 0.25
    assert relative.max() <= 0.10


@pytest.mark.usefixtures("lenient")
def test_catalogs_of_an_association(real, tmp_path):
    """Those of romancal's run, which the association names where they were then."""
    members = json.loads((real / "asn_cat.json").read_text())["products"][0]["members"]
    for member in members:
        member["expname"] = str(real / member["expname"])
        member["tweakreg_catalog"] = str(real / Path(member["tweakreg_catalog"]).name)
    association = write_association(tmp_path / "asn.json", members)
    library = run(str(association), use_custom_catalogs=True, abs_refcat=str(real / "gaia.ecsv"))
    assert statuses(library) == ["COMPLETE"] * 6
    assert errors(library, real)[0].max() <= 0.45  # of romancal's step with these catalogs


@pytest.mark.usefixtures("lenient")
def test_six_detectors_and_two_of_nircam(real):
    library = run(str(real / "asn_mixed.json"), abs_refcat=str(real / "gaia.ecsv"))
    assert statuses(library) == ["COMPLETE"] * 8
    observatories = np.array(look(library, lambda model: model.crds_observatory))
    assert errors_by_image(library, real)[observatories == "roman"].max() <= 0.3


def errors_by_image(library, real):
    """Absolute ones, also where grids differ."""
    one = [ModelLibrary([model]) for model in look(library, lambda model: model.copy())]
    return np.array([errors(each, real)[0][0] for each in one])
