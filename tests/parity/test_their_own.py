"""The JWST step's own tests, with this step in place of theirs.

At the end stands which of theirs is run as it is, which is told in words of our own, and what of them is left out and
why. A test that a newer version of theirs brings is in none of the lists, and fails the last test here.
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pytest
from astropy.table import Table
from astropy.wcs import WCS

pytest.importorskip("jwst", reason="the peer is installed in the parity environment only")

from astropy.utils.data import get_pkg_data_filename
from jwst.datamodels import ModelContainer
from jwst.datamodels import ModelLibrary as PeerLibrary
from jwst.tweakreg import tests as their_tests
from jwst.tweakreg.tests import test_multichip_jwst as chips
from jwst.tweakreg.tests import test_tweakreg as theirs
from jwst.tweakreg.tests import test_utils as utils
from jwst.tweakreg.tests.test_tweakreg import custom_catalog_path, example_input, example_wcs  # noqa: F401 (fixtures)
from jwst.tweakreg.tests.test_utils import nircam_rate  # noqa: F401 (fixture)
from stdatamodels.jwst.datamodels import ImageModel

from helpers import look, statuses, write_association
from tweakreg import TweakRegStep, adjust_wcs, transfer_wcs_correction
from tweakreg.errors import CatalogError, ParameterError

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _this_step(monkeypatch):
    monkeypatch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
    monkeypatch.setattr(theirs.tweakreg_step, "TweakRegStep", TweakRegStep)
    monkeypatch.setattr(utils, "adjust_wcs", adjust_wcs)
    monkeypatch.setattr(utils, "transfer_wcs_correction", transfer_wcs_correction)


@pytest.fixture
def two(example_input):  # noqa: F811
    """Their two images, as exposures to be aligned to each other."""
    for model, name in zip(example_input, "ab", strict=True):
        model.meta.group_id = name
    return example_input


def ran(inputs, **parameters):
    """The step after it has run, for what it tells of the run."""
    step = TweakRegStep(sip_approx=False, **parameters)
    step.run(inputs)
    return step


def numbers_of_sources(step):
    return [len(image.exposure.catalog) for image in step.result.images]


@pytest.mark.parametrize("with_shift", [True, False])
def test_step(example_input, with_shift):  # noqa: F811
    theirs.test_tweakreg_step(example_input, with_shift)


def test_adjust_wcs():
    utils.test_adjust_wcs()


@pytest.mark.parametrize("kind", ["wcs", "model", "file"])
def test_transfer_wcs_correction(nircam_rate, tmp_path, kind):  # noqa: F811
    utils.test_transfer_wcs_correction(nircam_rate, tmp_path, kind)


@pytest.mark.parametrize("with_shift", [True, False])
def test_sip_agrees_with_the_gwcs(two, with_shift):
    """The reference has an approximation as well here, which is right and not missing."""
    if with_shift:
        two[1].data[:-9] = two[1].data[9:]
        two[1].data[-9:] = theirs.BKG_LEVEL
    result = TweakRegStep.call(two, configure_log=False, sip_degree=3, sip_inv_degree=3)
    with result:
        for index, model in enumerate(result):
            grid = np.meshgrid(np.linspace(0.0, 511.0, 20), np.linspace(0.0, 511.0, 20))
            ra, dec = model.meta.wcs(*grid)
            found = WCS(model.meta.wcsinfo.instance).pixel_to_world(*grid)
            assert model.meta.wcsinfo.instance["ap_order"] == 3
            np.testing.assert_allclose(found.ra.deg, ra, atol=1e-7)
            np.testing.assert_allclose(found.dec.deg, dec, atol=1e-7)
            result.shelve(model, index, modify=False)


def test_one_group_is_not_complete(example_input):  # noqa: F811
    for model in example_input:
        model.meta.group_id = "a"
    assert statuses(TweakRegStep.call(example_input, configure_log=False)) == ["FAILED"] * 2
    assert [model.meta.cal_step.tweakreg for model in example_input] == [None] * 2


@pytest.mark.parametrize("kind", [list, ModelContainer, PeerLibrary])
def test_containers_of_theirs(two, kind):
    assert statuses(TweakRegStep.call(kind(list(two)), configure_log=False)) == ["COMPLETE"] * 2


@pytest.mark.parametrize("prefix", ["", "abs_"])
def test_sources_that_could_be_confused_are_no_run(two, prefix):
    """Before the catalog is asked for."""
    limits = {f"{prefix}separation": 1.0, f"{prefix}tolerance": 1.0}
    with pytest.raises(ParameterError, match=f"{prefix}separation.*sqrt"):
        TweakRegStep.call(two, configure_log=False, abs_refcat=theirs.REFCAT, **limits)
    assert [model.meta.cal_step.tweakreg for model in two] == [None] * 2


def test_a_star_finder_that_does_not_exist(two):
    with pytest.raises(ParameterError, match="starfinder"):
        TweakRegStep.call(two, configure_log=False, starfinder="bad_value")


FINDERS = ["iraf", "dao", "segmentation"]


def test_star_finders_agree_on_an_image_without_noise(two, tmp_path):
    found = []
    for finder in FINDERS:
        ran(two, starfinder=finder, save_catalogs=True, output_dir=str(tmp_path / finder))
        table = Table.read(tmp_path / finder / "some_file_0_cat.ecsv")
        found.append([np.sort(table["x"]), np.sort(table["y"])])
    assert {len(x) for x, _ in found} == {theirs.N_EXAMPLE_SOURCES}
    assert np.abs(np.subtract(found, found[0])).max() < 0.01


BAD = [("data", 0.0, "pixels are all alike"), ("dq", 1, "no pixel is usable")]


@pytest.mark.parametrize("finder", FINDERS)
@pytest.mark.parametrize(("bad", "value", "why"), BAD)
def test_nothing_to_find_fails_an_image_and_not_the_run(two, finder, bad, value, why, caplog):
    for model in two:
        model[bad][:] = value
    step = ran(two, starfinder=finder)
    assert numbers_of_sources(step) == [0, 0]
    assert [image.record.status.value for image in step.result.images] == ["FAILED"] * 2
    assert any(record.levelname == "WARNING" and why in record.message for record in caplog.records)


def test_catalogs_are_written_to_the_folder_of_the_results(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outdir").mkdir()
    step = ran(two, save_catalogs=True, output_dir="outdir")
    assert [len(Table.read(f"outdir/some_file_{i}_cat.ecsv")) for i in range(2)] == numbers_of_sources(step)
    assert [path.name for path in tmp_path.iterdir()] == ["outdir"]


def with_catalog(models, path, columns):
    """The first model brings a catalog of its own, with these columns."""
    Table(np.full((3, 2), [[100.0, 50.0], [200.0, 60.0], [300.0, 70.0]]), names=columns).write(path)
    models[0].meta.tweakreg_catalog = str(path)
    return models


@pytest.mark.parametrize("columns", [("x", "y"), ("xcentroid", "ycentroid"), ("x_centroid", "y_centroid")])
def test_columns_of_catalogs(two, tmp_path, columns):
    step = ran(with_catalog(two, tmp_path / "own.ecsv", columns), use_custom_catalogs=True)
    catalog = step.result.images[0].exposure.catalog
    assert list(zip(catalog.x, catalog.y, strict=True)) == [(100.0, 50.0), (200.0, 60.0), (300.0, 70.0)]


@pytest.mark.parametrize("columns", [("x", "b"), ("a", "y"), ("x_centroid", "b"), ("a", "y_centroid")])
def test_a_column_that_is_missing(two, tmp_path, columns):
    missing = "x" if columns[0] == "a" else "y"
    models = with_catalog(two, tmp_path / "own.ecsv", columns)
    with pytest.raises(CatalogError, match=f"needs a column {missing} or {missing}_psf"):
        TweakRegStep.call(models, configure_log=False, use_custom_catalogs=True)


@pytest.mark.parametrize("custom", [True, False])
@pytest.mark.parametrize("meta", [None, "", "own"])
def test_which_catalog_is_used(two, custom_catalog_path, custom, meta):  # noqa: F811
    """Of catfile, association and exposure the first that says anything decides, also if it says that there is none."""
    own, folder = custom_catalog_path.name, custom_catalog_path.parent
    if meta is not None:
        two[0].meta.tweakreg_catalog = str(custom_catalog_path) if meta else ""
    names = [model.meta.filename for model in two]
    for model in two:
        model.save(model.meta.filename, dir_path=str(folder))
    lines = {"own": f"{names[0]} {own}", "no catalog": names[0], "no exposure": ""}
    for words, text in lines.items():
        (folder / f"{words}.txt").write_text(text)
    members = [{"expname": name, "exptype": "science", "group_id": name} for name in names]
    wrong = {}
    for asn in (None, "", own):
        member = members[0] if asn is None else members[0] | {"tweakreg_catalog": asn}
        path = write_association(folder / "asn.json", [member, members[1]])
        for catfile in (None, *lines):
            listed = {} if catfile is None else {"catfile": str(folder / f"{catfile}.txt")}
            step = ran(str(path), use_custom_catalogs=custom, dry_run=True, **listed)
            said = next((each for each in (catfile, asn, meta) if each is not None), None)
            expected = theirs.N_CUSTOM_SOURCES if custom and said in ("own", own) else theirs.N_EXAMPLE_SOURCES
            if numbers_of_sources(step) != [expected, theirs.N_EXAMPLE_SOURCES]:
                wrong[catfile, asn] = numbers_of_sources(step)
    assert wrong == {}


def data(name):
    return get_pkg_data_filename(f"data/{name}", package=their_tests.__name__)


@pytest.fixture
def stars():
    return Table.read(data("ref.ecsv"))


def chip(folder, name, wcs, table, exposure="1"):
    """An exposure without pixels, of the size of the chip, with a catalog of its own."""
    model = ImageModel(np.zeros((2051, 4096), dtype="f4"))
    model.meta.filename = f"{name}.fits"
    for key in ["observation", "program", "visit", "exposure"]:
        setattr(model.meta.observation, f"{key}_number", exposure)
    for key in ("visit_group", "sequence_id", "activity_id"):
        setattr(model.meta.observation, key, exposure)
    model.meta.observation.date = "2019-01-01"
    for key in ("v2_ref", "v3_ref", "roll_ref"):
        setattr(model.meta.wcsinfo, key, 0.0)
    model.meta.wcs = wcs
    model.meta.tweakreg_catalog = str(folder / f"{name}.ecsv")
    table["x", "y"].write(model.meta.tweakreg_catalog)
    return model


@pytest.fixture
def pair(tmp_path):
    """Two chips of one exposure; pixels are counted from 1 by their WCS, and from 0 in the tables."""
    models = []
    for name in ("wfc3_uvis1", "wfc3_uvis2"):
        table = Table.read(data(f"{name}.ecsv"))
        table["x"] += 1
        table["y"] += 1
        models.append(chip(tmp_path, name, chips._make_gwcs_wcs(data(f"{name}.hdr")), table))
    return models


@pytest.fixture
def reference(tmp_path, stars):
    """The stars as the sources of one image, which is larger than either chip."""
    wcs = chips._make_reference_gwcs_wcs("wfc3_uvis1.hdr")
    stars["x"], stars["y"] = wcs.invert(stars["RA"].value, stars["DEC"].value, with_bounding_box=False)
    wcs.bounding_box = tuple((stars[axis].min() - 0.5, stars[axis].max() + 0.5) for axis in "xy")
    return chip(tmp_path, "reference", wcs, stars, exposure="0")


def check_on_stars(library, names, stars):
    """The sources of these images, in their order, lie on the stars as closely as theirs do."""

    def sky(model):
        table = Table.read(model.meta.tweakreg_catalog)
        return model.meta.filename, model.meta.wcs(table["x"], table["y"])

    places = dict(look(library, sky))
    ra, dec = np.concatenate([places[f"{name}.fits"] for name in names], axis=1)
    assert np.sqrt(np.mean((ra - stars["RA"]) ** 2)) < chips._REF_RMSE_RA
    assert np.sqrt(np.mean((dec - stars["DEC"]) ** 2)) < chips._REF_RMSE_DEC


CHIPS = {"use_custom_catalogs": True, "sip_approx": False}
NAMES = ["wfc3_uvis1", "wfc3_uvis2"]


def test_chips_of_one_exposure_are_fitted_as_one(pair, stars):
    """With the scale that theirs has."""
    step = TweakRegStep(
        **CHIPS, abs_refcat=data("ref.ecsv"), abs_fitgeometry="general", abs_nclip=0, abs_searchrad=20.0
    )
    check_on_stars(step.run(pair), NAMES, stars)
    fits = [record.absolute.fit for record in step.result.records]
    assert [fit.n_used for fit in fits] == [2000, 2000]
    np.testing.assert_allclose([fit.transformation.scale for fit in fits], 1.0025, rtol=0, atol=2e-8)
    assert max(fit.rms for fit in fits) < 0.05


def test_chips_aligned_to_an_image(pair, reference, stars):
    library = TweakRegStep.call([reference, *pair], configure_log=False, **CHIPS, enforce_user_order=True,
                                fitgeometry="general", nclip=0, tolerance=0.1, searchrad=20.0)  # fmt: skip
    assert statuses(library) == ["COMPLETE"] * 3
    check_on_stars(library, NAMES, stars)


def test_an_image_aligned_to_its_own_stars_stays(reference, stars):
    library = TweakRegStep.call([reference], configure_log=False, **CHIPS, abs_refcat=data("ref.ecsv"),
                                abs_fitgeometry="general", abs_nclip=0, abs_tolerance=0.01)  # fmt: skip
    assert statuses(library) == ["COMPLETE"]
    check_on_stars(library, ["reference"], stars)


AS_THEY_ARE = {
    "test_tweakreg_step": test_step,
    "test_adjust_wcs": test_adjust_wcs,
    "test_transfer_wcs_correction": test_transfer_wcs_correction,
}
IN_OUR_WORDS = {
    "test_rename_catalog_columns": test_columns_of_catalogs,
    "test_rename_catalog_columns_invalid": test_a_column_that_is_missing,
    "test_expected_failure_bad_starfinder": test_a_star_finder_that_does_not_exist,
    "test_write_catalog": test_catalogs_are_written_to_the_folder_of_the_results,
    "test_src_confusion_pars": test_sources_that_could_be_confused_are_no_run,
    "test_ngroup_1": test_one_group_is_not_complete,
    "test_custom_catalog": test_which_catalog_is_used,
    "test_sip_approx": test_sip_agrees_with_the_gwcs,
    "test_sourcefinders": test_star_finders_agree_on_an_image_without_noise,
    "test_make_tweakreg_catalog": test_star_finders_agree_on_an_image_without_noise,
    "test_make_tweakreg_catalog_graceful_fail_no_sources": test_nothing_to_find_fails_an_image_and_not_the_run,
    "test_make_tweakreg_catalog_graceful_fail_bad_background": test_nothing_to_find_fails_an_image_and_not_the_run,
    "test_multichip_jwst_alignment": test_chips_of_one_exposure_are_fitted_as_one,
    "test_multichip_alignment_step_rel": test_chips_aligned_to_an_image,
    "test_multichip_alignment_step_abs": test_an_image_aligned_to_its_own_stars_stays,
}
#: What of a test, or the whole of one that is in no other list.
LEFT_OUT = {
    "test_rename_catalog_columns": "that a table is changed in place: the step hands none out, and changes none",
    "test_src_confusion_pars": "that all images are FAILED: the parameters are refused, and nothing is run in vain",
    "test_ngroup_1": "the words of the log line: ours are in docs/outcomes.rst, and tested in test_outcomes",
    "test_sip_approx": "that the reference has no SIP keywords: an approximation of its WCS is as good as any other",
    "test_make_tweakreg_catalog_graceful_fail_no_sources": "the words, and the type of the table, which is none",
    "test_make_tweakreg_catalog_graceful_fail_bad_background": "as for graceful_fail_no_sources",
    "test_multichip_jwst_alignment": "the places of crpix, which follow from those of 2000 stars",
    "test_multichip_alignment_step_rel": "arrays of 100 pixels: v2_ref is far off them, and they are refused for that",
    "test_multichip_alignment_step_abs": "as for multichip_alignment_step_rel",
}


def names_of_theirs() -> Iterator[str]:
    for module in pkgutil.walk_packages(their_tests.__path__, f"{their_tests.__name__}."):
        for name, value in vars(import_module(module.name)).items():
            if name.lower().startswith("test") and getattr(value, "__module__", None) == module.name:
                yield name


def test_each_of_theirs_is_in_a_list():
    listed = {*AS_THEY_ARE, *IN_OUR_WORDS, *LEFT_OUT}
    assert sorted(names_of_theirs()) == sorted(listed)
    assert not AS_THEY_ARE.keys() & {*IN_OUR_WORDS, *LEFT_OUT}
