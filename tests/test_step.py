"""The whole step, judged against the truth."""

import hashlib
import json
import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from helpers import look, run, statuses, wcs_of, write_association
from tweakreg import ModelLibrary, TweakRegStep, read_result
from tweakreg.errors import CatalogError, InputError, OutputError, TweakRegError
from tweakreg.plane import separation
from tweakreg.records import SourceCatalog
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.models import make_model, make_models
from tweakreg.simulate.scene import random_config
from tweakreg.wcs.footprint import sky

FIND = {"roundhi": 0.6, "kernel_fwhm": 2.0}


@pytest.fixture(scope="module")
def aligned(scene, scene_files, tmp_path_factory):
    """The result of one run with everything written, and the folder."""
    folder = tmp_path_factory.mktemp("out")
    refcat = str(scene_files.parent / "refcat.ecsv")
    library = run(
        str(scene_files), abs_refcat=refcat, save_results=True, output_dir=str(folder), save_catalogs=True,
        save_abs_catalog=True, **FIND,
    )  # fmt: skip
    return library, folder, refcat


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def test_aligned_to_the_truth(scene, aligned):
    before = score({each.filename: each.wcs for each in scene.exposures}, scene.truth, 256)
    after = score(wcs_of(aligned[0]), scene.truth, 256)
    assert set(statuses(aligned[0])) == {"COMPLETE"}
    assert before.absolute.min() > 20.0
    assert after.absolute.max() < 2.0
    assert after.relative.max() < 1.0


def test_what_is_written(scene, scene_files, aligned):
    _, folder, refcat = aligned
    names = {each.filename.replace("_cal", "_tweakreg") for each in scene.exposures}
    catalogs = {each.filename.replace(".fits", "_cat.ecsv") for each in scene.exposures}
    rejected = {name.replace("_cat.", "_rejected.") for name in catalogs}
    assert {path.name for path in folder.iterdir()} - rejected == names | catalogs | {
        "scene_tweakreg_asn.json", "scene_tweakreg_fits.ecsv", "fit_refcat_ref.ecsv"
    }  # fmt: skip
    association = json.loads((folder / "scene_tweakreg_asn.json").read_text())
    assert {member["expname"] for member in association["products"][0]["members"]} == names
    assert len(Table.read(folder / "fit_refcat_ref.ecsv")) == len(Table.read(refcat))
    library = ModelLibrary(folder / "scene_tweakreg_asn.json")
    for name, catalog in look(library, lambda model: (model.meta.filename, model.meta.tweakreg_catalog)):
        assert catalog == name.replace("_tweakreg.fits", "_cal_cat.ecsv")


def test_catalogs_say_what_was_measured_and_what_was_rejected(scene, aligned):
    _, folder, _ = aligned
    for exposure in scene.exposures:
        found = Table.read(folder / exposure.filename.replace(".fits", "_cat.ecsv"))
        assert {"sharpness", "roundness", "peak", "snr"} <= set(found.colnames)
        away = separation(*sky(exposure.truth, found["x"], found["y"]), found["ra"], found["dec"])
        assert away.max() < 2e-3  # arcsec: they stand where the exposure lies after the alignment
    rejected = [Table.read(path) for path in folder.glob("*_rejected.ecsv")]
    assert rejected  # not of every exposure
    for table in rejected:
        assert {"sharplo", "sharphi", "roundlo", "roundhi"} >= set(", ".join(table["rejected_by"]).split(", "))


def test_files_read_back_as_they_were_in_memory(aligned):
    library, folder, refcat = aligned
    x, y = np.meshgrid(np.linspace(0, 255, 5), np.linspace(0, 255, 5))
    in_memory = look(library, lambda model: sky(model.meta.wcs, x, y))
    again = ModelLibrary(folder / "scene_tweakreg_asn.json")
    for ours, theirs in zip(in_memory, look(again, lambda model: sky(model.meta.wcs, x, y)), strict=True):
        assert separation(*ours, *theirs).max() < 1e-9
    assert look(again, lambda model: model.meta.wcs.name) == [f"FIT-LVL3-{refcat}"] * 8
    assert look(again, lambda model: model.meta.wcs.available_frames[-2]) == ["v2v3corr"] * 8


def test_headers_describe_the_corrected_wcs(aligned):
    from astropy.wcs import WCS

    _, folder, _ = aligned
    for path in folder.glob("*_tweakreg.fits"):
        with fits.open(path) as hdus:
            assert hdus[0].header["FILENAME"] == path.name
            assert hdus[0].header["S_TWKREG"] == "COMPLETE"
            header = hdus["SCI"].header
            ra, dec = WCS(header).all_pix2world([0.0, 255.0], [0.0, 255.0], 0)
            corners = np.array(header["S_REGION"].split()[2:], dtype=float).reshape(4, 2)
        from stdatamodels.jwst import datamodels

        with datamodels.open(path) as model:
            assert separation(ra, dec, *sky(model.meta.wcs, [0, 255], [0, 255])).max() < 0.02 * 0.031
            edges = sky(model.meta.wcs, [-0.5, 255.5, 255.5, -0.5], [-0.5, -0.5, 255.5, 255.5])
            assert separation(*edges, *corners.T).max() < 1e-5


def test_one_line_per_group_and_stage(scene, scene_files, caplog):
    """What is true of both detectors of an exposure is said once."""
    caplog.set_level(logging.INFO, logger="tweakreg")
    run(str(scene_files), abs_refcat=str(scene_files.parent / "refcat.ecsv"), **FIND)
    lines = [record.message for record in caplog.records if record.message.startswith(("relative: ", "absolute: "))]
    assert len(lines) == len(scene.exposures) == 8
    assert all(" (2 images): " in line for line in lines)
    assert sum("reference: the others" in line for line in lines) == 1
    assert sum("matches" in line and "rms" in line and "mas" in line for line in lines) == 7
    assert "8 images in 4 groups: 8 COMPLETE" in caplog.text


def test_inputs_are_not_changed(scene, scene_files):
    before = digest(scene_files.parent)
    models = list(make_models(scene))
    x, y = np.array([0.0, 255.0]), np.array([0.0, 255.0])
    skies = [sky(model.meta.wcs, x, y) for model in models]
    source = ModelLibrary(scene_files)
    for inputs in (models, source, str(scene_files)):
        run(inputs, **FIND)
    for model, at in zip(models, skies, strict=True):
        assert model.meta.cal_step.tweakreg is None
        assert np.array_equal(sky(model.meta.wcs, x, y), at)
    assert look(source, lambda model: model.meta.cal_step.tweakreg) == [None] * 8
    assert digest(scene_files.parent) == before


def test_on_disk_gives_the_same_result(scene_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = np.array([0.0, 255.0]), np.array([0.0, 255.0])
    results = [look(run(str(scene_files), in_memory=memory, **FIND), lambda model: sky(model.meta.wcs, x, y))
               for memory in (True, False)]  # fmt: skip
    for one, other in zip(*results, strict=True):
        assert separation(*one, *other).max() < 1e-9


def test_aligned_data_is_aligned_again_by_next_to_nothing(aligned, tmp_path):
    library, folder, refcat = aligned
    again = run(str(folder / "scene_tweakreg_asn.json"), abs_refcat=refcat, **FIND)
    x, y = np.array([0.0, 255.0]), np.array([0.0, 255.0])
    first = look(library, lambda model: sky(model.meta.wcs, x, y))
    second = look(again, lambda model: sky(model.meta.wcs, x, y))
    assert set(statuses(again)) == {"COMPLETE"}
    assert look(again, lambda model: model.meta.wcs.available_frames.count("v2v3corr")) == [1] * 8
    for one, other in zip(first, second, strict=True):
        # The same sources, but what lies at the edge of a match may change sides.
        assert 1000.0 * separation(*one, *other).max() < 0.5


def test_results_never_replace_inputs(aligned):
    _, folder, _ = aligned
    before = digest(folder)
    with pytest.raises(OutputError, match="would replace the input"):
        run(str(folder / "scene_tweakreg_asn.json"), save_results=True, output_dir=str(folder), **FIND)
    assert digest(folder) == before


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (45.0, 89.999), (120.0, -90.0)])
def test_at_the_meridian_and_the_poles(ra, dec, tmp_path, catalog_models):
    scene = make_scene(size=256, ra=ra, dec=dec, detectors=("NRCA1", "NRCA2"), n_visits=2)
    scene.reference_catalog().write(tmp_path / "ref.ecsv")
    models = catalog_models(scene, tmp_path)
    library = run(models, use_custom_catalogs=True, abs_refcat=str(tmp_path / "ref.ecsv"))
    assert set(statuses(library)) == {"COMPLETE"}
    assert score(wcs_of(library), scene.truth, 256).absolute.max() < 0.5


def test_aberration_frame(tmp_path, catalog_models):
    scene = make_scene(size=256, aberration=True)
    library = run(catalog_models(scene, tmp_path), use_custom_catalogs=True)
    frames = ["detector", "v2v3", "v2v3vacorr", "v2v3corr", "world"]
    assert look(library, lambda model: model.meta.wcs.available_frames)[1] == frames
    assert score(wcs_of(library), scene.truth, 256).relative.max() < 0.2


def test_group_id_separates_the_detectors_of_an_exposure(tmp_path, catalog_models):
    scene = make_scene(size=256, n_exposures=2, detectors=("NRCA1", "NRCA2"))
    models = catalog_models(scene, tmp_path)
    for model in models:
        model.meta.group_id = model.meta.filename
    library = run(models, use_custom_catalogs=True)
    # Two detectors do not overlap: without a common exposure nothing ties the pairs, and each is a set of its own.
    assert statuses(library) == ["COMPLETE"] * 4
    sets = look(library, lambda model: read_result(model)["stages"]["relative"]["detail"])
    assert sorted(sets) == ["set 1 of 2"] * 2 + ["set 2 of 2"] * 2


def test_one_exposure(scene, scene_files):
    model = make_model(scene, scene.exposures[0])
    assert statuses(run(model, **FIND)) == ["FAILED"]
    library = run(model, abs_refcat=str(scene_files.parent / "refcat.ecsv"), **FIND)
    assert statuses(library) == ["COMPLETE"]
    assert score(wcs_of(library), scene.truth, 256).absolute.max() < 2.0


def test_blank_exposures_end_in_an_outcome(tmp_path, caplog):
    scene = make_scene(size=256, n_stars=120, blank=(1,), seed=3)
    library = run(list(make_models(scene)), **FIND)
    assert statuses(library) == ["COMPLETE", "FAILED", "COMPLETE", "COMPLETE"]
    assert "too few sources" in caplog.text
    empty = make_scene(size=256, blank=(0, 1, 2, 3))
    assert statuses(run(list(make_models(empty)), **FIND)) == ["FAILED"] * 4


def test_a_service_that_is_away_keeps_the_relative_solution(scene, scene_files, caplog, monkeypatch):
    import requests

    def refuse(*args, **kwargs):
        raise ConnectionError("refused")

    monkeypatch.setattr(requests, "get", refuse)
    library = run(str(scene_files), abs_refcat="GAIADR3", **FIND)
    assert set(statuses(library)) == {"FAILED"}
    assert score(wcs_of(library), scene.truth, 256).relative.max() < 1.0
    assert "GAIADR3 did not answer with a catalog: refused" in caplog.text


def test_a_wcs_that_cannot_be_corrected_is_an_outcome_of_its_image(scene, caplog):
    import gwcs

    models = list(make_models(scene))
    frames = [(step.frame, step.transform) for step in models[0].meta.wcs.pipeline]
    models[0].meta.wcs = gwcs.WCS([(frames[0][0], frames[0][1] | frames[1][1]), frames[2]])
    models[2].meta.wcsinfo.v2_ref = None
    result = statuses(run(models, **FIND))
    assert result == ["FAILED", "COMPLETE", "FAILED"] + ["COMPLETE"] * 5
    assert "there is no 'v2v3'" in caplog.text
    assert "meta.wcsinfo.v2_ref is missing" in caplog.text


def test_custom_catalogs_of_the_association(scene, tmp_path, catalog_models, caplog):
    caplog.set_level(logging.INFO, logger="tweakreg")
    models = catalog_models(scene, tmp_path)
    members = []
    for model in models:
        catalog, model.meta.tweakreg_catalog = model.meta.tweakreg_catalog, None
        model.save(tmp_path / model.meta.filename)
        members.append({"expname": model.meta.filename, "exptype": "science",
                        "tweakreg_catalog": catalog.rsplit("/", 1)[1]})  # fmt: skip
    asn = write_association(tmp_path / "asn.json", members)
    assert set(statuses(run(str(asn)))) == {"FAILED"}
    library = run(str(asn), use_custom_catalogs=True)
    assert set(statuses(library)) == {"COMPLETE"}
    assert look(library, lambda model: model.meta.tweakreg_catalog)[0] == str(tmp_path / members[0]["tweakreg_catalog"])


def test_a_catalog_of_another_image_is_refused(scene, tmp_path, catalog_models):
    models = catalog_models(scene, tmp_path)
    (tmp_path / "other.txt").write_text("x y\n5000 5000\n")
    models[0].meta.tweakreg_catalog = str(tmp_path / "other.txt")
    with pytest.raises(CatalogError, match="is it of another image"):
        run(models, use_custom_catalogs=True)


def test_errors_are_caught_by_their_own_class_and_leave_nothing_behind(scene_files, tmp_path):
    fits.writeto(tmp_path / "plain.fits", np.zeros((10, 10)))
    model = make_model(make_scene(size=64), make_scene(size=64).exposures[0])
    model.meta.wcs = None
    model.save(tmp_path / "nowcs_cal.fits")
    before = digest(tmp_path)
    for name in ("plain.fits", "nowcs_cal.fits", "missing.fits"):
        with pytest.raises(InputError, match=name) as error:
            run(str(tmp_path / name), save_results=True, save_catalogs=True, output_dir=str(tmp_path))
        assert isinstance(error.value, TweakRegError)
        assert error.value.exit_status == 1
    assert digest(tmp_path) == before


@pytest.mark.parametrize("finder", ["dao", "segmentation"])
def test_the_other_star_finders(scene, scene_files, finder):
    options = {"dao": {"roundlo": -0.6, "roundhi": 0.6, "sharplo": 0.2}, "segmentation": {"npixels": 5}}[finder]
    library = run(str(scene_files), abs_refcat=str(scene_files.parent / "refcat.ecsv"), starfinder=finder,
                  kernel_fwhm=2.0, **options)  # fmt: skip
    assert set(statuses(library)) == {"COMPLETE"}
    assert score(wcs_of(library), scene.truth, 256).absolute.max() < 3.0


def test_sip_accuracy_out_of_reach_is_said(scene_files, caplog):
    run(str(scene_files), sip_degree=1, sip_inv_degree=1, **FIND)
    assert "SIP approximation: " in caplog.text


def test_skip_in_a_pipeline(scene):
    model = make_model(scene, scene.exposures[0], pixels=False)
    step = TweakRegStep(skip=True)
    step.parent = TweakRegStep()
    assert step.run(model).meta.cal_step.tweakreg == "SKIPPED"


@pytest.mark.parametrize("save_catalogs", [False, True])
def test_on_disk_each_exposure_is_opened_three_times_and_written_once(
    scene_files, tmp_path, monkeypatch, save_catalogs
):
    from stdatamodels.jwst import datamodels

    monkeypatch.chdir(tmp_path)
    opened, written = Counter(), Counter()

    def stem_of(path):
        return Path(path).name.rsplit("_", 1)[0]

    def counted(function, counter):
        def call(path, *args, **kwargs):
            counter[stem_of(path)] += 1
            return function(path, *args, **kwargs)

        return call

    save = datamodels.ImageModel.save
    monkeypatch.setattr(datamodels, "open", counted(datamodels.open, opened))
    monkeypatch.setattr(datamodels, "read_metadata", counted(datamodels.read_metadata, opened))
    monkeypatch.setattr(
        datamodels.ImageModel, "save", lambda self, path: counted(lambda p: save(self, p), written)(path)
    )
    monkeypatch.setattr(shutil, "copyfile", counted(shutil.copyfile, written))
    library = run(str(scene_files), in_memory=False, save_results=True, save_catalogs=save_catalogs,
                  output_dir="out", **FIND)  # fmt: skip
    assert len(opened) == len(written) == 8
    # The first once more, as the parameters are chosen by its metadata.
    assert sorted(opened.values()) == [3] * 7 + [4]
    assert set(written.values()) == {1}
    results = ModelLibrary("out/scene_tweakreg_asn.json")
    assert look(results, lambda model: model.meta.filename) == look(library, lambda model: model.meta.filename)
    assert set(statuses(results)) == {"COMPLETE"}
    x = np.array([0.0, 255.0])
    for one, other in zip(*(look(each, lambda model: sky(model.meta.wcs, x, x)) for each in (library, results)),
                          strict=True):  # fmt: skip
        assert separation(*one, *other).max() < 1e-9


def test_results_on_disk_are_not_changed_through_the_library(scene_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    library = run(str(scene_files), in_memory=False, save_results=True, **FIND)
    before = {path: path.read_bytes() for path in tmp_path.glob("*_tweakreg.fits")}
    with library:
        for index, model in enumerate(library):
            model.data[:] = 0.0
            library.shelve(model, index)
    assert len(before) == 8
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.fixture(scope="module")
def exposure_and_catalogs(scene, tmp_path_factory):
    """An exposure, and a catalog with a telling number of sources for each place."""
    folder = tmp_path_factory.mktemp("which")
    make_model(scene, scene.exposures[0]).save(folder / "a_cal.fits")
    for number, name in enumerate(("catfile", "asn", "meta"), start=1):
        (folder / f"{name}.txt").write_text("x y\n" + "".join(f"{10 + each} 10\n" for each in range(number)))
    return folder


@pytest.mark.parametrize("use", [False, True])
@pytest.mark.parametrize("catfile", ["absent", "blank", "unlisted", "empty", "catfile"])
@pytest.mark.parametrize("asn", ["absent", "empty", "null", "asn"])
@pytest.mark.parametrize("meta", ["absent", "empty", "meta"])
def test_which_catalog_is_used(exposure_and_catalogs, tmp_path, monkeypatch, use, catfile, asn, meta):
    folder = exposure_and_catalogs
    from stdatamodels.jwst import datamodels

    from tweakreg.parameters import make_config
    from tweakreg.pipeline import measure as pieces

    found = pieces.SourceCatalog.empty("found")
    monkeypatch.setattr(pieces, "find_sources", lambda pixels, config, name: found)
    member = {"expname": "a_cal.fits", "exptype": "science"}
    if asn != "absent":
        member["tweakreg_catalog"] = {"empty": "", "null": None, "asn": "asn.txt"}[asn]
    association = write_association(folder / f"{tmp_path.name}_asn.json", [member])
    lines = {
        "blank": "# nothing",
        "unlisted": "other.fits x.txt",
        "empty": "a_cal.fits",
        "catfile": "a_cal.fits catfile.txt",
    }
    if catfile != "absent":
        (folder / "list.txt").write_text(lines[catfile] + "\n")
    step = TweakRegStep(use_custom_catalogs=use, catfile="" if catfile == "absent" else str(folder / "list.txt"))
    library = ModelLibrary(association)
    own = {"absent": None, "empty": "", "meta": str(folder / "meta.txt")}[meta]
    monkeypatch.setattr(
        ModelLibrary, "_datamodels_open", lambda self, path, **_: _with_catalog(datamodels.open(path), own)
    )
    exposure = pieces.measure(library, make_config(step.get_pars())).exposures[0]

    expected, afterwards = which_catalog(catfile, asn, meta) if use else ("found", "left")
    n_sources = {"found": 0, "catfile": 1, "asn": 2, "meta": 3}[expected]
    assert len(exposure.ra) == n_sources
    named = {"left": None, "cleared": ""}
    assert exposure.catalog_name == named.get(afterwards, str(folder / f"{afterwards}.txt"))


#: What is used, and what the exposure says of its catalog afterwards: the first row that fits.
WHICH = """
    catfile   asn     meta   used     afterwards
    catfile   any     any    catfile  catfile
    empty     any     any    found    cleared
    blank     any     any    found    cleared
    unlisted  any     meta   meta     meta
    unlisted  any     any    found    left
    absent    asn     any    asn      asn
    absent    empty   any    found    cleared
    absent    null    any    found    cleared
    absent    absent  meta   meta     meta
    absent    absent  any    found    left
"""


def which_catalog(*names):
    for row in map(str.split, WHICH.strip().splitlines()[1:]):
        if all(cell in ("any", name) for cell, name in zip(row, names, strict=False)):
            return row[3:]
    raise AssertionError(names)


def _with_catalog(model, name):
    model.meta.tweakreg_catalog = name
    return model


def test_without_sip_the_old_one_goes(aligned, tmp_path):
    _, folder, refcat = aligned
    library = run(str(folder / "scene_tweakreg_asn.json"), abs_refcat=refcat, sip_approx=False, **FIND)
    assert not any("a_order" in keys for keys in look(library, lambda model: list(model.meta.wcsinfo.instance)))


def test_output_type_folder_from_the_environment_and_a_file_in_its_place(scene_files, tmp_path, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(tmp_path / "out"))
    run(str(scene_files), output_ext=".asdf", output_dir="$SOMEWHERE", save_results=True, **FIND)
    assert len(list((tmp_path / "out").glob("*_tweakreg.asdf"))) == 8
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be used as a folder"):
        run(str(scene_files), output_dir=str(tmp_path / "file"), **FIND)


def test_an_exposure_on_the_other_side_of_the_sky(tmp_path, catalog_models, caplog):
    folder = tmp_path / "far"
    folder.mkdir()
    models = catalog_models(make_scene(size=256, ra=0.0, dec=0.0, n_exposures=2), tmp_path)
    models += catalog_models(make_scene(size=256, ra=90.0, dec=0.0, n_exposures=1), folder)
    assert statuses(run(models, use_custom_catalogs=True)) == ["COMPLETE", "COMPLETE", "FAILED"]
    assert "align distant fields in runs of their own (90 degrees away)" in caplog.text


def test_no_table_is_left_on_the_saved_exposures(scene_files, aligned):
    _, folder, _ = aligned
    for path in folder.glob("*_tweakreg.fits"):
        before = scene_files.parent / path.name.replace("_tweakreg", "_cal")
        with fits.open(path) as after, fits.open(before) as input_:
            assert {hdu.name for hdu in after} == {hdu.name for hdu in input_}


@pytest.mark.parametrize("seed", range(6))
def test_random_fields_are_never_complete_and_wrong(seed, tmp_path):
    scene = make_scene(random_config(seed), size=256)
    scene.reference_catalog(share=0.5).write(tmp_path / "ref.ecsv")
    models = list(make_models(scene))
    before = score({each.filename: each.wcs for each in scene.exposures}, scene.truth, 256)
    for refcat in ("", str(tmp_path / "ref.ecsv")):
        library = run(models, abs_refcat=refcat, roundhi=0.6, minobj=8, abs_minobj=8, sip_approx=False)
        done = {name: wcs for (name, wcs), status in zip(wcs_of(library).items(), statuses(library), strict=True)
                if status == "COMPLETE"}  # fmt: skip
        if done:
            result = score(done, scene.truth, 256)
            assert (result.absolute if refcat else result.relative).max() < 5.0
        failed = [name for name in before.names if name not in done]
        assert len(failed) + len(done) == len(before.names)


def test_the_name_of_a_tie_goes_with_it(aligned):
    _, folder, refcat = aligned
    library = run(str(folder / "scene_tweakreg_asn.json"), **FIND)
    names = look(library, lambda model: model.meta.wcs.name)
    assert names.count(f"FIT-LVL3-{refcat}") == 2  # the reference's two detectors, which did not move
    assert names.count("") == 6


def test_hot_pixels_do_not_pull_the_match_to_the_dither(caplog):
    scene = make_scene(size=512, n_stars=60, hot_pixels=50, dither=0.08, n_visits=1, seed=8)
    caplog.set_level(logging.INFO, logger="tweakreg")
    library = run(list(make_models(scene)), roundhi=0.6)
    assert "stay on the detector while the sky moves: left out" in caplog.text
    assert statuses(library).count("COMPLETE") >= 3
    done = [status == "COMPLETE" for status in statuses(library)]
    relative = score({n: w for (n, w), ok in zip(wcs_of(library).items(), done, strict=True) if ok}, scene.truth, 512)
    assert relative.relative.max() < 2.0


def test_a_sky_that_stays_on_the_detector_is_not_told_from_artefacts(tmp_path, caplog):
    """Two visits to the same place, whose files say that they are not: so would hot pixels look."""
    caplog.set_level(logging.INFO, logger="tweakreg")
    scene = make_scene(size=256, n_stars=150, dither=0.0, n_visits=2, visit_error=0.3)
    library = run(list(make_models(scene)), roundhi=0.6)
    assert statuses(library) == ["FAILED"] * 4
    assert "stay on the detector while its WCS moves: artefacts, or a sky that did not move (156 of" in caplog.text


def test_stars_of_an_undithered_exposure_are_no_artefacts(caplog):
    caplog.set_level(logging.INFO, logger="tweakreg")
    scene = make_scene(size=256, n_stars=150, dither=0.0, n_visits=1)
    library = run(list(make_models(scene)), roundhi=0.6)
    assert "left out" not in caplog.text
    assert statuses(library) == ["COMPLETE"] * 4


@pytest.mark.parametrize("seed", range(3))
def test_more_hot_pixels_than_stars(seed):
    scene = make_scene(size=512, n_stars=30, hot_pixels=150, dither=0.08, n_visits=1, bad_pixels=0.0, seed=seed)
    library = run(list(make_models(scene)), roundhi=0.6, minobj=8)
    done = {n: w for (n, w), each in zip(wcs_of(library).items(), statuses(library), strict=True) if each == "COMPLETE"}
    assert len(done) >= 3
    assert score(done, scene.truth, 512).relative.max() < 3.0


@pytest.mark.parametrize("length", [10.0, 30.0])
def test_trails_are_refused_whatever_the_file_says(length, tmp_path, caplog):
    scene = make_scene(size=256, n_stars=120, n_exposures=3, trail=(0.8 * length, 0.6 * length), seed=4)
    scene.reference_catalog().write(tmp_path / "ref.ecsv")
    library = run(list(make_models(scene)), abs_refcat=str(tmp_path / "ref.ecsv"), roundhi=5.0, roundlo=-5.0)
    assert statuses(library) == ["FAILED"] * 3
    assert "times as long as wide, in one direction" in caplog.text


def test_compressed_exposures_on_disk_in_a_dry_run(scene_files, tmp_path):
    """Datamodels read .fits.gz and do not write it."""
    import gzip

    for path in sorted(scene_files.parent.glob("*_cal.fits"))[:4]:
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    library = run(sorted(tmp_path.glob("*.gz")), in_memory=False, dry_run=True, **FIND)
    assert len(library) == 4


def test_a_moving_target_is_refused_and_the_others_go_on(scene, caplog):
    models = list(make_models(scene))[::2]
    models[1].meta.target.type = "MOVING"
    models[1].meta.target.catalog_name = "67P"
    library = run(models, **FIND)
    assert statuses(library) == ["COMPLETE", "FAILED", "COMPLETE", "COMPLETE"]
    assert "followed a moving target: stars are trails and no fixed points (67P)" in caplog.text


def test_a_moving_target_with_a_catalog_of_the_users_is_taken(tmp_path, catalog_models):
    models = catalog_models(make_scene(size=256, n_exposures=2), tmp_path)
    for model in models:
        model.meta.target.type = "MOVING"
    assert statuses(run(models, use_custom_catalogs=True)) == ["COMPLETE"] * 2


@pytest.mark.parametrize("time", [-999.0, 0.0, 1e9, float("nan")])
def test_a_time_that_is_none_is_replaced_by_the_date(scene, time, caplog):
    from tweakreg.observatory.missions import image_of

    model = make_model(scene, scene.exposures[0], pixels=False)
    model.meta.exposure.mid_time = model.meta.exposure.start_time = time
    model.meta.observation.date = "2023-07-02"
    image = image_of(model)
    none = np.empty(0)
    epoch = image.measured(SourceCatalog(x=none, y=none, flux=none), "group").epoch
    assert epoch == pytest.approx(2023.5, abs=0.01)
    assert f"meta.exposure.mid_time = {time} is no time of an exposure" in caplog.text
    model.meta.observation.date = None
    assert np.isnan(image.measured(SourceCatalog(x=none, y=none, flux=none), "group").epoch)


@pytest.mark.parametrize(("by", "groups"), [("exposure", 4), ("detector", 8), ("image", 8)])
def test_group_by_splits_exposures(scene, by, groups):
    library = run(list(make_models(scene)), group_by=by, **FIND)
    assert len(set(look(library, lambda model: read_result(model)["group"]))) == groups


def test_the_group_of_an_association_is_not_split(scene_files, tmp_path):
    paths = sorted(scene_files.parent.glob("*_cal.fits"))
    members = [
        {"expname": str(path), "exptype": "science", "group_id": path.name[20:25]} for path in paths
    ]  # fmt: skip
    association = write_association(tmp_path / "asn.json", members)
    for inputs in (str(association), ModelLibrary(association)):
        library = run(inputs, group_by="image", **FIND)
        assert set(look(library, lambda model: read_result(model)["group"])) == {each["group_id"] for each in members}


def test_abs_group_by_ties_detectors_and_keeps_exposures(scene, scene_files):
    """Both detectors have the pointing error of their exposure: tied apart, each finds it on its own."""
    refcat = str(scene_files.parent / "refcat.ecsv")
    together = run(list(make_models(scene)), abs_refcat=refcat, **FIND)
    apart = run(list(make_models(scene)), abs_refcat=refcat, abs_group_by="detector", **FIND)
    for library, corrections in ((together, 4), (apart, 8)):
        assert set(statuses(library)) == {"COMPLETE"}
        assert len(set(look(library, lambda model: read_result(model)["group"]))) == 4
        shifts = look(library, lambda model: tuple(read_result(model)["correction"]["shift"]))
        assert len(set(shifts)) == corrections
        assert score(wcs_of(library), scene.truth, 256).absolute.max() < 2.0
