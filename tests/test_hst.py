"""Exposures of HST: chips with the WCS in their headers, corrected there, everything else as it was."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits import FITSDiff
from astropy.table import Table
from astropy.wcs import WCS

from helpers import look, run
from tweakreg import TweakRegStep, read_result
from tweakreg.errors import AssociationError, InputError, OutputError, ParameterError, TweakRegError
from tweakreg.observatory.hst import HstModel, open_model
from tweakreg.observatory.inputs import items_of
from tweakreg.observatory.missions import images_of, mission_of
from tweakreg.plane import TangentPlane, separation
from tweakreg.records import Affine, SourceCatalog
from tweakreg.simulate import make_scene, score
from tweakreg.simulate.hst import make_hdus, write_hst_scene
from tweakreg.wcs.fits import FitsWcs

#: Of the star finder, for the stars of these scenes.
FIND = {"starfinder": "dao", "kernel_fwhm": 2.0, "roundlo": -1.0, "roundhi": 1.0, "sharplo": 0.2, "sharphi": 1.0}


@pytest.fixture(scope="module")
def scene():
    return make_scene(size=256, n_exposures=4, n_visits=2, detectors=("NRCA1", "NRCA2"), n_stars=150, seed=3)


@pytest.fixture(scope="module")
def files(scene, tmp_path_factory):
    return write_hst_scene(scene, tmp_path_factory.mktemp("hst"))


@pytest.fixture(scope="module")
def aligned(files, tmp_path_factory):
    """The folder of results, and the library."""
    folder = tmp_path_factory.mktemp("out")
    refcat = str(files[0].with_name("refcat.ecsv"))
    library = run(files, abs_refcat=refcat, save_results=True, save_correction=True, output_dir=str(folder), **FIND)
    return folder, library


def chips(scene, path):
    """The simulated chips of a file, by their version."""
    number = int(path.name[6:8]) - 1
    return dict(enumerate((each for each in scene.exposures if each.number == number), start=1))


def wcs_of(scene, paths):
    """WCS of every chip in the files, as whoever reads FITS has it, by the name of the simulated chip."""
    found = {}
    for path in paths:
        with fits.open(path) as hdus:
            for version, chip in chips(scene, path).items():
                wcs = WCS(hdus["SCI", version].header, hdus)
                found[chip.filename] = lambda x, y, wcs=wcs, **_: wcs.all_pix2world(x, y, 0)
    return found


def test_aligned_to_the_truth(scene, files, aligned):
    folder, _ = aligned
    after = score(wcs_of(scene, [folder / path.name for path in files]), scene.truth, 256)
    before = score(wcs_of(scene, files), scene.truth, 256)
    assert before.absolute.min() > 20.0
    assert after.absolute.max() < 2.0
    assert after.relative.max() < 1.0


def test_nothing_else_is_changed(files, aligned):
    """Names stay, and all but the headers of SCI and one keyword."""
    folder, _ = aligned
    for path in files:
        different = FITSDiff(str(path), str(folder / path.name))
        assert {number for number, *_ in different.diff_hdus} == {0, 1, 4}
        primary = different.diff_hdus[0][1].diff_headers
        assert not primary.diff_keyword_values
        assert primary.diff_keywords == ([], ["TWEAKREG"])
        assert all(part.diff_data.identical for _, part, *_ in different.diff_hdus[1:])


def test_headers_say_how_it_was_aligned(files, aligned):
    header = fits.getheader(aligned[0] / files[1].name, "SCI", 1)
    assert header["WCSNAME"] == "IDC_sim-FIT_REL_refcat"
    assert header["WCSNAMEA"] == "IDC_sim"
    assert header["TWKWCS"] == "A"
    assert header["RADESYS"] == "ICRS"
    assert 0.0 < header["RMS_RA"] < 20.0
    assert header["CRDER1"] == pytest.approx(header["RMS_RA"] / 3.6e6)
    assert header["S_REGION"].startswith("POLYGON ICRS")
    assert header["ORIENTAT"] == pytest.approx(np.degrees(np.arctan2(header["CD1_2"], header["CD2_2"])))


def test_the_archived_wcs_is_the_original(files, aligned):
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 255, 5), np.linspace(0, 255, 5)))
    for path in files:
        with fits.open(path) as old, fits.open(aligned[0] / path.name) as new:
            letter = new["SCI", 2].header["TWKWCS"]
            before = WCS(old["SCI", 2].header, old).all_pix2world(x, y, 0)
            kept = WCS(new["SCI", 2].header, new, key=letter)
            primary = WCS(new["SCI", 2].header, new)
            # Distortion is not an alternate's: it is that of the primary one.
            again = kept.wcs_pix2world(np.transpose(primary.pix2foc(x, y, 0)), 0).T
        assert separation(*before, *again).max() < 1e-8


def test_results_are_read_back(files, aligned):
    path = aligned[0] / files[0].name
    assert [read_result(path, image=index)["name"] for index in (0, 1)] == [f"{path.stem}_sci1", f"{path.stem}_sci2"]
    assert read_result(path)["stages"]["absolute"]["outcome"] == "ALIGNED"
    with pytest.raises(InputError, match="image = 2 is not one of them"):
        read_result(path, image=2)


def test_an_exposure_is_a_group_and_its_chips_move_together(files, aligned):
    results = [read_result(aligned[0] / files[1].name, image=index) for index in (0, 1)]
    assert results[0]["group"] == results[1]["group"] == fits.getval(files[1], "ROOTNAME")
    assert results[0]["correction"] == results[1]["correction"]


def test_restart_gives_the_same_again(scene, files, aligned, tmp_path):
    """A second run from the original pointing ends where the first did; one that composes stays there."""
    again = [aligned[0] / path.name for path in files]
    refcat = str(files[0].with_name("refcat.ecsv"))
    first = score(wcs_of(scene, again), scene.truth, 256).absolute
    for restart in (True, False):
        out = tmp_path / str(restart)
        run(again, abs_refcat=refcat, restart=restart, save_results=True, output_dir=str(out), **FIND)
        paths = [out / path.name for path in files]
        assert score(wcs_of(scene, paths), scene.truth, 256).absolute == pytest.approx(first, abs=0.5)
        assert fits.getval(paths[0], "TWKWCS", "SCI", 1) == "A"


def test_a_correction_is_undone_to_the_bit(files, aligned, tmp_path):
    from tweakreg.corrections.change import change_files, undo_in_image
    from tweakreg.corrections.file import read_correction

    root = fits.getval(files[1], "ROOTNAME")
    correction = read_correction(next(path for path in aligned[0].glob("*_correction.asdf") if root in path.name))
    change_files(undo_in_image, correction, [aligned[0] / files[1].name], [tmp_path / files[1].name], any_wcs=False)
    for version in (1, 2):
        old, new = (fits.getheader(path, "SCI", version) for path in (files[1], tmp_path / files[1].name))
        for name in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "WCSNAME"):
            assert new[name] == old[name]
        assert "TWKWCS" not in new
        assert "RMS_RA" not in new


def test_in_place_replaces_all_or_none(files, tmp_path):
    copies = [tmp_path / path.name for path in files]
    for path, copied in zip(files, copies, strict=True):
        shutil.copyfile(path, copied)
    before = [path.read_bytes() for path in copies]
    run(copies, in_place=True, dry_run=True, save_results=True, output_dir=str(tmp_path / "o"), **FIND)
    assert [path.read_bytes() for path in copies] == before
    with pytest.raises(OutputError, match="in_place"):
        run(copies, save_results=True, output_dir=str(tmp_path), **FIND)
    run(copies, in_place=True, save_results=True, output_dir=str(tmp_path / "o"), **FIND)
    assert all(fits.getval(path, "TWEAKREG") == "COMPLETE" for path in copies)
    with pytest.raises(ParameterError, match="in_place"):
        run([open_model(path) for path in copies], in_place=True, save_results=True, **FIND)


def test_on_disk_and_in_memory_give_the_same(files, tmp_path):
    for name, memory in (("memory", True), ("disk", False)):
        run(files, in_memory=memory, save_results=True, output_dir=str(tmp_path / name), **FIND)
    for path in files:
        one, other = (fits.getheader(tmp_path / name / path.name, "SCI", 1) for name in ("memory", "disk"))
        assert one["CRVAL1"] == other["CRVAL1"]


def test_open_files_are_saved_as_files_are(files, aligned, tmp_path):
    """An HDUList that is no file any more has the same headers and pixels in the end."""
    hdulists = []
    for path in files:
        with fits.open(path, memmap=False) as hdus:
            hdulists.append(fits.HDUList([hdu.copy() for hdu in hdus]))
            hdulists[-1]["SCI", 1].header["EQUINOX"] = 2000.0
    refcat = str(files[0].with_name("refcat.ecsv"))
    run(hdulists, abs_refcat=refcat, save_results=True, output_dir=str(tmp_path), **FIND)
    for path in files:
        for version in (1, 2):
            one, other = (fits.getheader(folder / path.name, "SCI", version) for folder in (aligned[0], tmp_path))
            for name in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
                assert one[name] == pytest.approx(other[name], rel=1e-11)
            assert "EQUINOX" not in other
            pixels = [fits.getdata(folder / path.name, "SCI", version) for folder in (aligned[0], tmp_path)]
            assert np.array_equal(*pixels, equal_nan=True)
    assert "EQUINOX" in hdulists[0]["SCI", 1].header  # what was given is as it was


@pytest.mark.parametrize("how", ["pattern", "comma", "at", "table", "hdulist", "models"])
def test_ways_to_name_exposures(files, how, tmp_path):
    folder = files[0].parent
    listed = tmp_path / "files.lst"
    listed.write_text("".join(f"{path}  # one\n" for path in files))
    rows = Table({"MEMNAME": [path.name[:9].upper() for path in files], "MEMTYPE": ["EXP-DTH"] * len(files)})
    table = folder / "jsim01010_asn.fits"
    if not table.exists():
        rows.write(table)
    given = {
        "pattern": str(folder / "jsim*_flc.fits"),
        "comma": ",".join(map(str, files)),
        "at": f"@{listed}",
        "table": str(table),
        "hdulist": [fits.open(path) for path in files],
        "models": [open_model(path) for path in files],
    }[how]
    library = run(given, **FIND)
    assert len(library) == len(files)
    with library:
        for index in range(len(files)):
            model = library.borrow(index)
            assert model.primary["TWEAKREG"] == "COMPLETE"
            library.shelve(model, index, modify=False)


def test_names_that_lead_nowhere(tmp_path):
    with pytest.raises(InputError, match="no file fits this pattern"):
        items_of(str(tmp_path / "no*.fits"))
    with pytest.raises(InputError, match="is no list of exposures"):
        items_of(f"@{tmp_path}/nothing.lst")
    Table({"MEMNAME": ["JNONE01Q"], "MEMTYPE": ["EXP-DTH"]}).write(tmp_path / "x_asn.fits")
    with pytest.raises(AssociationError, match="jnone01q_flc"):
        items_of(str(tmp_path / "x_asn.fits"))
    with pytest.raises(InputError, match="is no HST association table"):
        fits.PrimaryHDU().writeto(tmp_path / "y_asn.fits")
        items_of(str(tmp_path / "y_asn.fits"))


def test_repeats_of_one_pointing_are_groups_of_their_own(scene):
    """EXTVER of STIS and NICMOS counts repeats, and not chips."""
    same = [each for each in scene.exposures if each.detector.name == "NRCA1"][:1] * 2
    images = images_of(HstModel(make_hdus(scene, same, pixels=False)))
    assert [image.subgroup for image in images] == ["_1", "_2"]
    chips = images_of(HstModel(make_hdus(scene, scene.exposures[:2], pixels=False)))
    assert [image.subgroup for image in chips] == ["", ""]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda hdus: hdus["SCI", 1].header.remove("A_ORDER"), "run updatewcs"),
        (lambda hdus: hdus["SCI", 1].header.set("CRVAL1", 1e9), None),
        (lambda hdus: hdus["SCI", 1].header.set("CD1_1", 0.0) or hdus["SCI", 1].header.set("CD2_1", 0.0), ""),
        (lambda hdus: hdus["SCI", 1].header.set("CTYPE1", "WAVE"), "no WCS"),
    ],
)
def test_bad_headers_are_outcomes_or_refused(scene, files, tmp_path, change, said):
    copies = [tmp_path / path.name for path in files]
    for path, copied in zip(files, copies, strict=True):
        shutil.copyfile(path, copied)
    with fits.open(copies[0], mode="update") as hdus:
        change(hdus)
    try:
        library = run(copies, **FIND)
    except TweakRegError as error:
        assert "SCI extension 1" in str(error)
        return
    status = look(library, lambda model: model.primary["TWEAKREG"])
    assert status[1:] == ["COMPLETE"] * (len(files) - 1)


def test_no_letter_is_left(scene):
    model = HstModel(make_hdus(scene, scene.exposures[:2], pixels=False))
    image = images_of(model)[0]
    header = model.headers[1]
    for letter in "ABCDEFGHIJKLMNPQRSTUVWXYZ":
        header[f"CRVAL1{letter}"] = 1.0
    from tweakreg.errors import WCSError

    with pytest.raises(WCSError, match="all letters"):
        image.correct(Affine(shift=np.array([0.1, 0.0])), TangentPlane(ra=80.5, dec=-69.5), None)


@pytest.mark.parametrize(("dqbits", "n_masked"), [("", 2), ("0", 4), ("4,256", 2), ("~128", 1), (None, 0)])
def test_flags_that_do_no_harm(scene, dqbits, n_masked):
    hdus = make_hdus(scene, scene.exposures[:1], pixels=False)
    hdus["DQ", 1].data[0, :4] = [4, 16, 128, 256]
    mask = images_of(HstModel(hdus))[0].pixels(dqbits="None" if dqbits is None else dqbits).mask
    assert mask.sum() == n_masked


def test_a_word_that_is_no_flag(scene):
    image = images_of(HstModel(make_hdus(scene, scene.exposures[:1], pixels=False)))[0]
    with pytest.raises(ParameterError, match="dqbits"):
        image.pixels(dqbits="SATURATED")


@pytest.mark.parametrize("seed", range(5))
def test_crval_and_cd_follow_any_correction(scene, seed):
    """The corrected header gives the positions that the correction gives."""
    rng = np.random.default_rng(seed)
    model = HstModel(make_hdus(scene, scene.exposures[:2], pixels=False))
    image = images_of(model)[1]
    x, y = rng.uniform(0, 255, (2, 40))
    ra, dec = image.sky(x, y)
    plane = TangentPlane(ra=float(ra[0]) + rng.normal(0, 0.01), dec=float(dec[0]) + rng.normal(0, 0.01))
    correction = Affine(matrix=np.eye(2) + rng.normal(0, 1e-3, (2, 2)), shift=rng.normal(0, 5.0, 2))
    wanted = plane.deproject(correction(plane.project(ra, dec)))
    image.correct(correction, plane, "new")
    assert separation(*images_of(model)[1].sky(x, y), *wanted).max() < 1e-6


def test_a_json_association_of_hst(files, tmp_path):
    members = [{"expname": str(path), "exptype": "SCIENCE"} for path in files]
    asn = tmp_path / "hst_asn.json"
    asn.write_text(json.dumps({"products": [{"name": "p", "members": members}]}))
    library = run(str(asn), save_results=True, output_dir=str(tmp_path / "out"), **FIND)
    assert len(library) == len(files)
    made = json.loads((tmp_path / "out" / "hst_tweakreg_asn.json").read_text())
    assert [each["expname"] for each in made["products"][0]["members"]] == [path.name for path in files]


def test_which_mission(files, tmp_path):
    assert mission_of(files[0]).NAME == "hst"
    assert mission_of(tmp_path / "nothing.fits").NAME == "jwst"
    assert TweakRegStep._get_crds_parameters(str(files[0]))[0]["meta.instrument.name"] == "ACS"


# --- real headers and distortion, simulated pixels -----------------------------------------------------------------


def errors_on(folder, names, *, relative):
    """Rms of each exposure against the truth, mas; relative to a linear transformation that all have in common."""
    truth = {each["file"]: each for each in json.loads((folder.truth / "truth.json").read_text())["exposures"]}
    wanted, found, owner = [], [], []
    for name in names:
        with fits.open(folder.results / name) as hdus:
            for chip in truth[name]["chips"]:
                grid = {key: np.array(value) for key, value in chip["grid"].items()}
                wcs = FitsWcs(hdus["SCI", chip["extver"]].header, hdus)
                wanted.append(np.stack([grid["ra"], grid["dec"]]))
                found.append(np.stack(wcs(grid["x"], grid["y"])))
                owner += [name] * len(grid["x"])
    true, now = np.hstack(wanted), np.hstack(found)
    plane = TangentPlane.around(*true)
    places = plane.project(*true)
    away = 1e3 * (plane.project(*now) - places)
    if relative:
        design = np.column_stack([np.ones(len(places)), places])
        away -= design @ np.linalg.lstsq(design, away, rcond=None)[0]
    return {name: float(np.sqrt(np.mean(np.sum(away[np.array(owner) == name] ** 2, axis=1)))) for name in names}


@pytest.mark.parametrize(
    ("pattern", "catalog", "parameters", "limit"),
    [
        ("jtwr*_flc.fits", "", {}, 2.2),
        ("jtwr*_flc.fits", "", {"fitgeometry": "general"}, 1.3),
        ("jtwr*_flc.fits", "field1_gaia.ecsv", {"fitgeometry": "general", "abs_fitgeometry": "general"}, 0.7),
        ("iswr*_fl?.fits", "field2_gaia.ecsv", {"abs_fitgeometry": "general"}, 2.8),
    ],
)
def test_fields_with_real_headers(real_data, tmp_path, pattern, catalog, parameters, limit):
    """With the packaged parameters of each instrument, and what is said besides."""
    folder = real_data / "hst_flc"
    paths = sorted(folder.glob(pattern))
    given = {**parameters, **({"abs_refcat": str(folder / catalog)} if catalog else {})}
    library = run(paths, save_results=True, output_dir=str(tmp_path), **given)
    assert set(look(library, lambda model: model.primary["TWEAKREG"])) == {"COMPLETE"}
    places = SimpleNamespace(truth=folder / "truth", results=tmp_path)
    errors = errors_on(places, [path.name for path in paths], relative=not catalog)
    print(errors)
    assert max(errors.values()) <= limit


def test_what_the_user_says_holds_for_every_image(files, monkeypatch):
    """Also where the parameter file of the first exposure says the same as the user."""
    import tweakreg.pipeline.measure as measuring

    used = []
    monkeypatch.setattr(
        measuring, "find_sources", lambda pixels, find, name: used.append(find.kernel_fwhm) or SourceCatalog.empty(name)
    )
    for value in (3.5, 2.25):
        step = TweakRegStep(kernel_fwhm=value)
        step.run([str(path) for path in files])
        TweakRegStep.call([str(path) for path in files], kernel_fwhm=value)
        assert {each.parameters["kernel_fwhm"][1] for each in [step._origins()]} == {"command line or keyword"}
        assert set(used) == {value}
        used.clear()


@pytest.mark.parametrize("folder", ["hst_headers/astropy", "hst_headers/drizzlepac_hap"])
def test_headers_of_the_archive_are_read(real_data, folder):
    for path in sorted((real_data / folder).glob("*_fl?.fits")):
        images = images_of(open_model(path), path)
        assert [image.unfit for image in images] == [None] * len(images)
        assert {image.subgroup for image in images} == {""}
        assert all(image.wcs_name.startswith("IDC_") for image in images)
