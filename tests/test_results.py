"""What a run says of itself: in the log, the metadata, the headers and the tables."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from helpers import FIND, look, run, statuses, strun, wcs_of, write_association
from tweakreg import TweakRegStep, read_result
from tweakreg.errors import AlignmentFailedError, InputError, ParameterError
from tweakreg.plane import separation
from tweakreg.records import Outcome
from tweakreg.simulate.models import make_model
from tweakreg.wcs.corrector import correct, is_corrected, uncorrected
from tweakreg.wcs.footprint import sky

X, Y = (axis.ravel() for axis in np.meshgrid([0.0, 128.0, 255.0], [0.0, 128.0, 255.0]))


def apart(first, second):
    """Largest distance of two WCS, mas."""
    return 1000.0 * separation(*sky(first, X, Y), *sky(second, X, Y)).max()


@pytest.fixture(scope="module")
def results(scene_files, tmp_path_factory):
    """A saved run with everything on, and its log."""
    folder = tmp_path_factory.mktemp("results")
    done = strun(
        "tweakreg", scene_files, f"--abs_refcat={scene_files.parent / 'refcat.ecsv'}", "--save_matches=true",
        "--save_refcat=true", "--roundhi=0.6", "--abs_nclip=2", "--wcsname=mine", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stderr


def test_the_same_numbers_everywhere(results):
    folder, log = results
    summary = Table.read(folder / "scene_tweakreg_fits.ecsv")
    assert len(summary) == 16
    for path in sorted(folder.glob("*_tweakreg.fits")):
        tree = read_result(path)
        header = fits.getheader(path, "SCI")
        for name, stage in tree["stages"].items():
            row = summary[(summary["image"] == tree["name"]) & (summary["stage"] == name)][0]
            assert row["outcome"] == stage["outcome"]
            if "rms" not in stage:
                assert stage["outcome"] == "REFERENCE"
                assert np.isnan(row["rms"])
                continue
            for key in ("rms", "mae", "rms_ra", "rms_dec", "n_matched", "n_used", "n_clipped", "false_probability"):
                assert row[key] == stage[key]
            assert (row["shift_ra"], row["shift_dec"]) == tuple(stage["shift"])
            (line,) = re.findall(rf"{name}: group {tree['group']} \(2 images\): (.*)", log)
            said = re.search(r"(\d+) matches, (\d+) clipped, rms ([\d.]+) mas, \w+ \(([-+.\d]+), ([-+.\d]+)\)", line)
            assert (int(said[1]), int(said[2])) == (stage["n_matched"], stage["n_clipped"])
            assert float(said[3]) == pytest.approx(stage["rms"], abs=0.005)
            assert [float(said[4]), float(said[5])] == pytest.approx(stage["shift"], abs=0.005)
        absolute = tree["stages"]["absolute"]
        assert (header["NMATCHES"], header["RMS_RA"], header["RMS_DEC"], header["FITGEOM"], header["WCSNAME"]) == (
            absolute["n_used"], absolute["rms_ra"], absolute["rms_dec"], "rshift", "mine",
        )  # fmt: skip
        assert absolute["rms"] == pytest.approx(np.hypot(absolute["rms_ra"], absolute["rms_dec"]))


def test_the_table_of_matches_holds_the_residuals(results):
    folder, _ = results
    path = next(each for each in sorted(folder.glob("*_nrca1_tweakreg.fits")) if "rms" in relative_of(each))
    tree = read_result(path)
    group = [Table.read(each) for each in folder.glob(f"{tree['name'][:-9]}*_matches.ecsv")]
    for name, stage in tree["stages"].items():
        rows = [table[table["stage"] == name] for table in group]
        if name == "relative":  # each source is one detector's; in the absolute stage all groups share the stars
            assert sum(map(len, rows)) == stage["n_matched"]
            used = np.concatenate([np.array(table["residual_ra"])[~table["clipped"]] for table in rows])
            assert np.sqrt(np.mean(used**2)) == pytest.approx(stage["rms_ra"])
        for table in rows:
            offset = 1000.0 * separation(table["ra"], table["dec"], table["ref_ra"], table["ref_dec"])
            assert offset == pytest.approx(np.hypot(table["residual_ra"], table["residual_dec"]), rel=1e-4)
            assert (np.array(table["x"]) > 0.0).all()
            assert len(table) > 10


def relative_of(path):
    return read_result(path)["stages"]["relative"]


def test_the_reference_as_used_is_a_reference_catalog(results, scene_files):
    folder, _ = results
    table = Table.read(folder / "scene_tweakreg_refcat.ecsv")
    assert set(table["origin"]) == {"refcat.ecsv", "exposures"}
    again = run(str(scene_files), abs_refcat=str(folder / "scene_tweakreg_refcat.ecsv"), **FIND)
    assert set(statuses(again)) == {"COMPLETE"}


def test_keywords_and_result_survive_further_saves(results, tmp_path):
    from stdatamodels.jwst import datamodels

    path = next(results[0].glob("*_tweakreg.fits"))
    first, header = read_result(path), fits.getheader(path, "SCI")
    for number in range(2):
        with datamodels.open(path) as model:
            path = tmp_path / f"{number}.fits"
            model.save(path)
    assert read_result(path) == first
    for key in ("WCSNAME", "NMATCHES", "RMS_RA", "RMS_DEC", "FITGEOM"):
        assert fits.getheader(path, "SCI")[key] == header[key]


def test_origin_of_every_parameter(results):
    parameters = read_result(next(results[0].glob("*_tweakreg.fits")))["parameters"]
    assert {name for name in TweakRegStep().get_pars() if "hooks" not in name} - {"suffix"} == set(parameters)
    assert parameters["roundhi"] == {"value": 0.6, "origin": "command line or keyword"}
    assert parameters["kernel_fwhm"]["origin"] == "reference file jwst_nircam_pars-tweakregstep_f200w.asdf"
    assert parameters["sigma"] == {"value": 3.0, "origin": "default"}


def test_origin_parameter_file_and_attribute(scene, tmp_path):
    TweakRegStep().export_config(tmp_path / "p.asdf")
    model = make_model(scene, scene.exposures[0])
    library = run(model, config_file=str(tmp_path / "p.asdf"), sigma=3.5)
    (parameters,) = look(library, lambda m: read_result(m)["parameters"])
    assert parameters["searchrad"]["origin"] == f"parameter file {tmp_path / 'p.asdf'}"
    assert parameters["sigma"] == {"value": 3.5, "origin": "command line or keyword"}
    step = TweakRegStep()
    step.nclip = 1
    (parameters,) = look(step.run(model), lambda m: read_result(m)["parameters"])
    assert parameters["nclip"] == {"value": 1, "origin": "attribute"}


def test_an_exposure_that_was_not_aligned_has_no_result(scene):
    with pytest.raises(InputError, match="carries no result of an alignment"):
        read_result(make_model(scene, scene.exposures[0], pixels=False))


def test_a_damaged_result_is_refused(results):
    from stdatamodels.jwst import datamodels

    with datamodels.open(next(results[0].glob("*_tweakreg.fits"))) as model:
        model.meta.tweakreg.status = "GOOD"
        with pytest.raises(InputError, match=r"does not follow the schema: \$\.status"):
            read_result(model)


# --- failures ------------------------------------------------------------------------------------------------


@pytest.fixture
def one_fails(scene_files, tmp_path):
    """Three exposures of one visit, of which the last is blank."""
    from stdatamodels.jwst import datamodels

    paths = sorted(scene_files.parent.glob("*_nrca1_cal.fits"))[:3]
    with datamodels.open(paths[2]) as model:
        model.data = np.zeros_like(model.data)
        model.save(tmp_path / "blank_cal.fits")
    return write_association(tmp_path / "asn.json", [str(paths[0]), str(paths[1]), "blank_cal.fits"])


@pytest.mark.parametrize(
    ("on_failure", "status", "code"), [("warn", "FAILED", 0), ("skip", "SKIPPED", 0), ("error", "FAILED", 3)]
)
def test_on_failure(one_fails, tmp_path, on_failure, status, code):
    done = strun("tweakreg", one_fails, "--roundhi=0.6", f"--on_failure={on_failure}", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert fits.getval(tmp_path / "blank_tweakreg.fits", "S_TWKREG") == status
    assert len(list(tmp_path.glob("*_tweakreg.fits"))) == 3
    rows = Table.read(tmp_path / "asn_tweakreg_fits.ecsv")
    blank = rows[rows["image"] == "blank_cal"][0]
    assert (blank["status"], blank["outcome"]) == (status, "TOO_FEW_SOURCES")
    assert np.isnan(blank["rms"])
    assert "too few sources" in blank["reason"]


def test_an_error_in_python_comes_after_everything_is_saved(one_fails, tmp_path):
    with pytest.raises(AlignmentFailedError, match="1 image could not be aligned: blank_cal"):
        run(str(one_fails), on_failure="error", save_results=True, output_dir=str(tmp_path), **FIND)
    assert len(list(tmp_path.glob("*_tweakreg.fits"))) == 3


# --- dry run, restart, names ---------------------------------------------------------------------------------


def test_a_dry_run_changes_and_writes_no_exposure(scene_files, tmp_path):
    done = strun("tweakreg", scene_files, "--roundhi=0.6", "--dry_run=true", "--save_matches=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no exposure is changed or written" in done.stderr
    written = sorted(path.name for path in tmp_path.iterdir())
    assert len(written) == 9
    assert all(name.endswith(("_matches.ecsv", "_fits.ecsv")) for name in written)
    plain = Table.read(tmp_path / "scene_tweakreg_fits.ecsv")
    assert set(plain["outcome"]) == {"ALIGNED", "REFERENCE"}


def test_a_dry_run_in_python(scene, scene_files):
    library = run(str(scene_files), dry_run=True, **FIND)
    for name, wcs in wcs_of(library).items():
        original = next(each.wcs for each in scene.exposures if each.filename == name)
        assert apart(wcs, original) < 1e-6
    assert set(statuses(library)) == {None}
    assert all(look(library, lambda model: read_result(model)["dry_run"]))


def test_composed_by_default_and_restarted_when_asked(results, scene_files, tmp_path, caplog):
    caplog.set_level("INFO")
    folder, _ = results
    refcat = str(scene_files.parent / "refcat.ecsv")
    asn = str(folder / "scene_tweakreg_asn.json")
    first = wcs_of(run(str(scene_files), abs_refcat=refcat, abs_nclip=2, **FIND))
    restarted = run(asn, abs_refcat=refcat, abs_nclip=2, restart=True, suffix="again", **FIND)
    assert "its WCS was corrected before, and starts from its original pointing" in caplog.text
    assert not any(look(restarted, lambda model: read_result(model)["composed"]))
    for name, wcs in wcs_of(restarted).items():
        assert apart(wcs, first[name]) < 1e-6
    composed = run(asn, abs_refcat=refcat, suffix="again", **FIND)
    assert "its WCS was corrected before, and is corrected once more" in caplog.text
    assert all(look(composed, lambda model: read_result(model)["composed"]))
    for name, wcs in wcs_of(composed).items():
        assert 0.0 < apart(wcs, first[name]) < 1.0


def test_a_name_given_again_moves_to_the_new_solution(results, caplog):
    caplog.set_level("INFO")
    library = run(str(results[0] / "scene_tweakreg_asn.json"), wcsname="mine", suffix="again", **FIND)
    assert "its WCS was called mine before: the name is now that of the new one" in caplog.text
    names = look(library, lambda model: model.meta.wcs.name)
    assert set(names) == {"mine"}


def test_the_original_wcs_comes_back_exactly(scene):
    from tweakreg.observatory.missions import image_of
    from tweakreg.plane import TangentPlane
    from tweakreg.records import Affine

    model = make_model(scene, scene.exposures[0], pixels=False)
    plane = TangentPlane.around(*sky(model.meta.wcs, X, Y))
    shift = Affine(shift=np.array([0.3, -0.2]))
    corrected = correct(model.meta.wcs, image_of(model).angles, shift, plane, image_of(model).bounds)
    assert is_corrected(corrected)
    back = uncorrected(corrected)
    assert not is_corrected(back)
    assert np.array_equal(sky(back, X, Y), sky(model.meta.wcs, X, Y))
    assert uncorrected(back) is back


def test_stage_that_failed_keeps_its_numbers_but_no_keywords(scene, tmp_path):
    """A refused fit is in the result, to be looked at, and never in the header."""
    model = make_model(scene, scene.exposures[0])
    library = run(model, abs_refcat=str(scene_refcat(scene, tmp_path)), abs_minobj=500, **FIND)
    (tree,) = look(library, read_result)
    assert tree["stages"]["absolute"]["outcome"] in (Outcome.TOO_FEW_SOURCES.name, Outcome.TOO_FEW_MATCHES.name)
    assert tree["status"] == "FAILED"
    (cards,) = look(library, lambda m: m.instance["extra_fits"]["SCI"]["header"])
    assert not [card for card in cards if card[0] in ("NMATCHES", "RMS_RA")]


def scene_refcat(scene, folder):
    path = folder / "refcat.ecsv"
    scene.reference_catalog().write(path)
    return path


def test_restart_that_fails_leaves_no_trace_of_the_old_correction(results, tmp_path):
    """S_REGION and SIP are those of the original pointing, in memory and not."""
    from tweakreg.observatory.missions import image_of
    from tweakreg.wcs.footprint import s_region

    library = run(str(results[0] / "scene_tweakreg_asn.json"), restart=True, minobj=100000, suffix="again", **FIND)
    assert "COMPLETE" not in statuses(library)

    def check(model):
        assert not is_corrected(model.meta.wcs)
        assert model.meta.wcsinfo.s_region == s_region(model.meta.wcs, image_of(model).bounds)
        info = model.meta.wcsinfo
        ra, dec = sky(model.meta.wcs, np.array([info.crpix1 - 1.0]), np.array([info.crpix2 - 1.0]))
        assert separation(ra, dec, info.instance["crval1"], info.instance["crval2"]).max() < 1e-4

    look(library, check)
    without = run(str(results[0] / "scene_tweakreg_asn.json"), restart=True, sip_approx=False, suffix="again", **FIND)
    assert not any(look(without, lambda model: "a_order" in model.meta.wcsinfo.instance))


def test_a_dry_run_does_not_restart(results):
    library = run(str(results[0] / "scene_tweakreg_asn.json"), restart=True, dry_run=True, suffix="again", **FIND)
    assert all(look(library, lambda model: is_corrected(model.meta.wcs)))


def test_a_name_that_no_header_can_hold(scene, scene_files, tmp_path):
    with pytest.raises(ParameterError, match=r"'wcsname'.*printable ASCII"):
        run(str(scene_files), wcsname="Größe")
    refcat = tmp_path / "réf.ecsv"
    scene.reference_catalog().write(refcat)
    run(str(scene_files), abs_refcat=str(refcat), save_results=True, output_dir=str(tmp_path), **FIND)
    assert fits.getval(next(tmp_path.glob("*_tweakreg.fits")), "WCSNAME", "SCI").endswith("r?f.ecsv")


def test_a_step_used_again_forgets_its_failures(one_fails):
    step = TweakRegStep(on_failure="error", roundhi=0.6)
    with pytest.raises(AlignmentFailedError):
        step.run(str(one_fails))
    step.minobj = 15
    members = json.loads(one_fails.read_text())["products"][0]["members"]
    assert set(statuses(step.run([member["expname"] for member in members[:2]]))) == {"COMPLETE"}


def test_no_table_tells_of_exposures_that_could_not_be_saved(scene_files, tmp_path, monkeypatch):
    from tweakreg.errors import OutputError
    from tweakreg.observatory import output

    def full(*_, **__):
        raise OutputError("the disk is full")

    monkeypatch.setattr(output, "save_library", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run(str(scene_files), save_results=True, save_correction=True, output_dir=str(tmp_path), **FIND)
    assert not list(tmp_path.iterdir())
