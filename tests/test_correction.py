"""Corrections that travel: apply, undo, compose, on the same exposure, another filter, another detector."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy

import asdf
import numpy as np
import pytest
from astropy.io import fits

from helpers import FIND, look, run, wcs_of
from tweakreg import (
    ModelLibrary,
    adjust_wcs,
    apply_correction,
    compose_corrections,
    read_correction,
    read_result,
    transfer_wcs_correction,
    undo_correction,
    write_correction,
)
from tweakreg.cli import main
from tweakreg.errors import CorrectionError, WCSError
from tweakreg.plane import separation
from tweakreg.simulate.models import make_model
from tweakreg.wcs.footprint import sky
from tweakreg.wcs.identity import wcs_hash

X, Y = (axis.ravel() for axis in np.meshgrid([0.0, 128.0, 255.0], [0.0, 128.0, 255.0]))


def apart(first, second, x=X, y=Y):
    """Largest distance of two WCS, mas."""
    return 1000.0 * separation(*sky(first, x, y), *sky(second, x, y)).max()


@pytest.fixture(scope="module")
def corrected(scene_files, tmp_path_factory):
    """Results and corrections of a run over groups of two detectors, and of a second one over the results."""
    folder = tmp_path_factory.mktemp("corrections")
    once = {"save_results": True, "save_correction": True, "output_dir": str(folder), **FIND}
    run(str(scene_files), abs_refcat=str(scene_files.parent / "refcat.ecsv"), **once)
    again = folder / "again"
    run(
        str(folder / "scene_tweakreg_asn.json"), xoffset=0.01, fitgeometry="rscale", **once | {"output_dir": str(again)}
    )
    return folder, again


def files(corrected, number=2):
    """The corrected files of an exposure, and its correction."""
    folder, _ = corrected
    (correction,) = folder.glob(f"*_{number}_correction.asdf")
    return sorted(folder.glob(f"*_0000{number}_*_tweakreg.fits")), correction


def originals(scene_files, number=2):
    return sorted(scene_files.parent.glob(f"*_0000{number}_*_cal.fits"))


def opened(path):
    (model,) = look(ModelLibrary([path]), lambda each: each.copy())
    return model


def test_one_file_per_group_that_knows_its_images(corrected, scene_files):
    assert len(list(corrected[0].glob("*_correction.asdf"))) == 4
    results, path = files(corrected)
    correction = read_correction(path)
    assert [member.detector for member in correction.members] == ["NRCA1", "NRCA2"]
    for member, before, after in zip(correction.members, originals(scene_files), results, strict=True):
        assert member.wcs_hash == wcs_hash(opened(before).meta.wcs) == wcs_hash(member.before.wcs)
        assert member.corrected_hash == wcs_hash(opened(after).meta.wcs)
    assert correction.result.complete
    assert path.stat().st_size < 200_000


def test_apply_and_undo_over_two_detectors(corrected, scene_files, tmp_path):
    results, path = files(corrected)
    before = originals(scene_files)
    digests = [hashlib.sha256(each.read_bytes()).digest() for each in before]
    assert main(["correction", "apply", str(path), *map(str, before), "--output-dir", str(tmp_path)]) == 0
    applied = sorted(tmp_path.glob("*_tweakreg.fits"))
    for mine, theirs in zip(applied, results, strict=True):
        assert apart(opened(mine).meta.wcs, opened(theirs).meta.wcs) < 1e-6
        assert read_result(mine)["stages"] == read_result(theirs)["stages"]
        assert opened(mine).meta.wcsinfo.s_region == opened(theirs).meta.wcsinfo.s_region
        for key in ("WCSNAME", "NMATCHES", "RMS_RA", "RMS_DEC", "FITGEOM"):
            assert fits.getval(mine, key, "SCI") == fits.getval(theirs, key, "SCI")
    assert main(["correction", "undo", str(path), *map(str, results), "--output-dir", str(tmp_path)]) == 0
    for mine, theirs in zip(sorted(tmp_path.glob("*_original.fits")), before, strict=True):
        wcs = opened(mine).meta.wcs
        assert wcs_hash(wcs) == wcs_hash(opened(theirs).meta.wcs)
        assert np.array_equal(sky(wcs, X, Y), sky(opened(theirs).meta.wcs, X, Y))
        assert opened(mine).meta.cal_step.tweakreg is None
    assert [hashlib.sha256(each.read_bytes()).digest() for each in before] == digests


def test_compose_is_both(corrected, scene_files, tmp_path):
    _, again = corrected
    moved = sorted(again.glob("*_correction.asdf"))
    number = moved[0].stem.split("_")[-2]
    _, first = files(corrected, number)
    code = main(["correction", "compose", str(first), str(moved[0]), "--output", str(tmp_path / "both.asdf"),
                 "--author", "me", "--description", "two in one"])  # fmt: skip
    assert code == 0
    both = read_correction(tmp_path / "both.asdf")
    assert (both.author, both.description, len(both.steps)) == ("me", "two in one", 2)
    for path in originals(scene_files, number):
        model = opened(path)
        apply_correction(model, both)
        final = opened(again / path.name.replace("_cal", "_tweakreg"))
        assert apart(model.meta.wcs, final.meta.wcs) < 1e-6
        assert wcs_hash(final.meta.wcs) in {member.corrected_hash for member in both.members}
        undo_correction(final, both)
        assert np.array_equal(sky(final.meta.wcs, X, Y), sky(opened(path).meta.wcs, X, Y))


def test_undo_of_a_second_alignment_keeps_the_first(corrected):
    _, again = corrected
    path = sorted(again.glob("*_correction.asdf"))[0]
    number = path.stem.split("_")[-2]
    first = files(corrected, number)[0][0]
    second = opened(again / first.name)
    undo_correction(second, read_correction(path))
    assert second.meta.cal_step.tweakreg == "COMPLETE"
    assert read_result(second) == read_result(first)
    assert wcs_hash(second.meta.wcs) == wcs_hash(opened(first).meta.wcs)


def test_what_does_not_follow_is_not_composed(corrected):
    (_, one), (_, other) = files(corrected, 2), files(corrected, 4)
    with pytest.raises(CorrectionError, match="was not made for what"):
        compose_corrections(read_correction(one), read_correction(other))
    assert len(compose_corrections(read_correction(one), read_correction(other), any_wcs=True).steps) == 2


def test_another_filter_needs_permission(corrected, scene, tmp_path, capsys):
    """A WCS with a slightly different distortion, as of another filter: the same error of the pointing goes."""
    exposure = next(each for each in scene.exposures if each.number == 1 and each.detector.name == "NRCA1")
    model = make_model(scene, exposure, pixels=False)
    shifted = exposure.wcs
    correction = read_correction(files(corrected)[1])
    other = adjust_wcs(shifted, delta_roll=1e-7)
    model.meta.wcs = other
    model.save(tmp_path / "other_cal.fits")
    command = ["correction", "apply", str(files(corrected)[1]), str(tmp_path / "other_cal.fits")]
    assert main([*command, "--output-dir", str(tmp_path)]) == 1
    assert "has another WCS" in capsys.readouterr().err
    assert not (tmp_path / "other_tweakreg.fits").exists()
    assert main([*command, "--output-dir", str(tmp_path), "--any-wcs"]) == 0
    result = opened(tmp_path / "other_tweakreg.fits")
    assert apart(result.meta.wcs, opened(files(corrected)[0][0]).meta.wcs) < 0.01
    back = opened(tmp_path / "other_tweakreg.fits")
    with pytest.raises(CorrectionError, match="has another WCS than those that the correction"):
        undo_correction(back, correction)
    undo_correction(back, correction, any_wcs=True)
    assert apart(back.meta.wcs, other) < 1e-3


def test_applied_once_only(corrected):
    results, path = files(corrected)
    with pytest.raises(CorrectionError, match="has this correction already"):
        apply_correction(opened(results[0]), read_correction(path))


def test_show(corrected, capsys):
    _, path = files(corrected)
    assert main(["correction", "show", str(path)]) == 0
    text = capsys.readouterr().out
    assert "NRCA2" in text
    assert "rms" in text
    assert str(read_correction(path)) == text.rstrip("\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("text", "cannot be read as ASDF"),
        ({"schema": "x"}, "is no correction"),
        ({"members": [{"forward": {"mapping": [0, 10**18]}}]}, "a transform has more than 100 axes"),
        ({"members": 5}, "is no correction"),
        ({"members": ["x"]}, "is no correction"),
    ],
)
def test_files_that_are_no_correction(tmp_path, content, message, capsys):
    path = tmp_path / "c.asdf"
    if isinstance(content, str):
        path.write_text(content)
    elif content:
        asdf.AsdfFile(content).write_to(path)
    assert main(["correction", "show", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_results_never_replace_inputs_or_results(corrected, tmp_path, capsys):
    results, path = files(corrected)
    command = ["correction", "undo", str(path), str(results[0]), "--output-dir"]
    assert main([*command, str(results[0].parent), "--suffix", "tweakreg"]) == 1
    assert "would replace the input" in capsys.readouterr().err
    assert main([*command, str(tmp_path), "--suffix", "a/b"]) == 1
    assert "without a slash" in capsys.readouterr().err
    assert (main([*command, str(tmp_path)]), main([*command, str(tmp_path)])) == (0, 1)
    assert "exists already" in capsys.readouterr().err
    assert main(["correction", "compose", str(path), str(path), "--output", str(path), "--any-wcs"]) == 1
    assert "would replace the input" in capsys.readouterr().err


def test_round_trip_of_the_file(corrected, tmp_path):
    correction = read_correction(files(corrected)[1])
    write_correction(correction, tmp_path / "c.asdf")
    again = read_correction(tmp_path / "c.asdf")
    assert again.result == correction.result
    assert [member.wcs_hash for member in again.members] == [wcs_hash(member.before.wcs) for member in again.members]


def test_hash_tells_wcs_apart(scene):
    wcs = scene.exposures[0].wcs
    assert wcs_hash(wcs) == wcs_hash(deepcopy(wcs))
    assert len({wcs_hash(each.wcs) for each in scene.exposures}) == len(scene.exposures)


# --- by hand -------------------------------------------------------------------------------------------------


def test_adjust(scene):
    wcs = scene.exposures[0].wcs
    assert apart(adjust_wcs(wcs), wcs) == 0.0
    north = adjust_wcs(wcs, delta_dec=1.0 / 3600.0)
    assert np.allclose(sky(north, X, Y)[1] - sky(wcs, X, Y)[1], 1.0 / 3600.0, rtol=1e-4)
    assert adjust_wcs(wcs, delta_ra=1.0).bounding_box == wcs.bounding_box
    grown = adjust_wcs(wcs, scale_factor=1.01)

    def side(each):
        ra, dec = sky(each, np.array([0.0, 255.0]), np.array([128.0, 128.0]))
        return separation(ra[0], dec[0], ra[1], dec[1])

    assert side(grown) / side(wcs) == pytest.approx(1.01, rel=1e-6)


def test_transfer_between_detectors(corrected, scene_files):
    """What was done to one detector of a group, done to the other, is what the step did to that."""
    results, _ = files(corrected)
    target = opened(originals(scene_files)[1])
    transfer_wcs_correction(target, opened(results[0]))
    assert apart(target.meta.wcs, opened(results[1]).meta.wcs) < 0.05
    with pytest.raises(ValueError, match="both or neither"):
        transfer_wcs_correction(target, opened(results[0]), shift=[0.1, 0.0])
    with pytest.raises(WCSError, match="was not corrected"):
        transfer_wcs_correction(target, opened(originals(scene_files)[0]))


def test_transfer_of_a_shift_into_a_file(scene_files, tmp_path):
    source = originals(scene_files)[0]
    path = tmp_path / source.name
    path.write_bytes(source.read_bytes())
    transfer_wcs_correction(str(path), str(source), matrix=[[1.0, 0.0], [0.0, 1.0]], shift=[0.2, 0.0])
    assert apart(opened(path).meta.wcs, opened(source).meta.wcs) == pytest.approx(200.0, abs=0.01)


# --- real exposures ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("lenient")
@pytest.mark.filterwarnings("ignore")
def test_a_real_exposure_with_velocity_aberration(real_data, tmp_path):
    """Its WCS was corrected by the pipeline already: the correction composes, and undo gives the pipeline's back."""
    path = next((real_data / "jwst_cal_cutout_ngc346").glob("*.fits"))
    model = opened(path)
    x, y = np.array([0.0, 50.0, 99.0]), np.array([0.0, 99.0, 50.0])
    twin, before = model.copy(), model.meta.wcs
    twin.meta.group_id, twin.meta.filename = "twin", "twin_cal.fits"
    twin.meta.wcs = adjust_wcs(twin.meta.wcs, delta_dec=0.05 / 3600.0)
    moved = twin.meta.wcs
    find = {"roundhi": 1.0, "sharplo": 0.0, "minobj": 5, "snr_threshold": 5.0}
    library = run([model, twin], save_correction=True, output_dir=str(tmp_path), **find)
    aligned = wcs_of(library)
    assert apart(aligned["twin_cal.fits"], before, x, y) < 1e-3
    (file,) = tmp_path.glob("*twin_correction.asdf")
    correction = read_correction(file)
    apply_correction(twin, correction)
    assert apart(twin.meta.wcs, aligned["twin_cal.fits"], x, y) < 1e-6
    undo_correction(twin, correction)
    assert apart(twin.meta.wcs, moved, x, y) == 0.0


@pytest.mark.usefixtures("lenient")
@pytest.mark.filterwarnings("ignore")
def test_real_groups_of_eight_detectors(real_data, tmp_path):
    folder = real_data / "ceers_nircam1"
    peer = json.loads((folder / "peer_result.json").read_text())["f200w"]["asn_f200w_exposure_groups.json"]
    changed = peer["recommended"]["parameters_changed_from_default"]
    changed["abs_refcat"] = str(folder / changed["abs_refcat"])
    association = str(folder / "asn_f200w_exposure_groups.json")
    # Its detectors are out of their places by 12 mas, a misfit; whether corrections travel is another question.
    changed["max_misfit"] = 5.0
    library = run(association, sip_approx=False, save_correction=True, output_dir=str(tmp_path), **changed)
    aligned = wcs_of(library)
    corrections = [read_correction(path) for path in tmp_path.glob("*_correction.asdf")]
    assert [len(each.members) for each in corrections] == [8, 8, 8]
    x, y = np.array([0.0, 1024.0, 2047.0]), np.array([0.0, 2047.0, 1024.0])
    for correction in corrections:
        for member in correction.members[::3]:
            model = opened(folder / f"{member.name}.fits.gz")
            before = model.meta.wcs
            apply_correction(model, correction)
            (after,) = [wcs for name, wcs in aligned.items() if name.startswith(member.name)]
            assert apart(model.meta.wcs, after, x, y) < 1e-6
            undo_correction(model, correction)
            assert apart(model.meta.wcs, before, x, y) == 0.0
