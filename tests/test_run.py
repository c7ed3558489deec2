"""`tweakreg.align`: the loop of the step without stpipe, and what its result shows and saves."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable, Table

import tweakreg
from helpers import FIND, wcs_of
from helpers import run as call
from tweakreg.errors import AlignmentFailedError, InputError, OutputError, ParameterError
from tweakreg.records import ReferenceCatalog
from tweakreg.reference.table import catalog_of
from tweakreg.results.tree import from_tree, to_tree
from tweakreg.simulate import make_models, make_scene, score_library
from tweakreg.wcs.identity import wcs_hash


@pytest.fixture(scope="module")
def refcat(scene_files):
    return scene_files.parent / "refcat.ecsv"


@pytest.fixture(scope="module")
def result(scene_files, refcat):
    return tweakreg.align(scene_files, refcat, save_matches=True, **FIND)


def test_align_is_a_function_and_no_module():
    import importlib

    importlib.import_module("tweakreg.alignment.stages")
    assert callable(tweakreg.align)


def test_it_is_what_the_step_does(result, scene_files, refcat):
    library = call(str(scene_files), abs_refcat=str(refcat), **FIND)
    ours, theirs = ({name: wcs_hash(wcs) for name, wcs in wcs_of(each).items()} for each in (result.library, library))
    assert ours == theirs


@pytest.mark.parametrize("kind", ["path", "name", "table", "records"])
def test_a_catalog_may_be_many_things(scene, refcat, result, kind):
    table = Table.read(refcat)
    catalog = {
        "path": refcat,
        "name": str(refcat),
        "table": table,
        "records": ReferenceCatalog(ra=np.array(table["RA"]), dec=np.array(table["DEC"]), name="stars"),
    }[kind]
    again = tweakreg.align(list(make_models(scene)), catalog, **FIND)
    assert {record.status.value for record in again.records} == {"COMPLETE"}
    assert score_library(again.library, scene).absolute.max() < 3.0


def test_inputs_stay_as_they_are(scene):
    models = list(make_models(scene))[:3]
    before = [wcs_hash(model.meta.wcs) for model in models]
    tweakreg.align(models, **FIND)
    assert [wcs_hash(model.meta.wcs) for model in models] == before


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"serchrad": 1.0}, "'serchrad' does not exist: did you mean 'searchrad'"),
        ({"minobj": "many"}, "'minobj'.* an integer, at least 1"),
        ({"searchrad": -1.0}, "'searchrad'.* a number, at least 0.0"),
        ({"separation": 0.9}, r"'separation' = 0.9: must be greater than sqrt\(2\)"),
        ({"catalog": "none.ecsv"}, "'catalog' = 'none.ecsv': must be an existing file"),
        ({"save_results": True}, r"'save_results' = True: is the step's: .* result.save\(folder\)"),
        ({"catalog": "GAIADR3", "abs_refcat": "GAIADR3"}, "'abs_refcat'.* give one of them"),
        ({"catalog": 5}, "'catalog' = 'int': must be a file, a name, an astropy Table or a ReferenceCatalog"),
        ({"catalog": Table({"a": [1.0]})}, "needs columns RA and DEC"),
    ],
)
def test_a_wrong_parameter_is_one_sentence_before_anything_is_opened(parameters, message):
    with pytest.raises((ParameterError, InputError), match=message):
        tweakreg.align("there is no such file.json", **parameters)


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"missing_cal\.fits"):
        tweakreg.align(["missing_cal.fits"])


def test_the_table_has_units_descriptions_and_whole_numbers(result):
    table = result.table
    assert isinstance(table, QTable)
    assert len(table) == 16
    assert table["rms"].unit == "mas"
    assert table["rotation_x"].unit == "deg"
    assert all(table[name].info.description for name in table.colnames)
    for name in ("n_matched", "n_used", "n_clipped"):
        assert table[name].dtype.kind == "i"
    reference = table[table["outcome"] == "REFERENCE"]
    assert isinstance(table["n_used"], MaskedColumn)
    assert reference["n_used"].mask.all()
    fitted = table[table["outcome"] == "ALIGNED"]
    assert (fitted["n_used"] + fitted["n_clipped"] == fitted["n_matched"]).all()


def test_an_image_by_its_name(result):
    name = result.names[0]
    image = result[name]
    assert result[0] is image is result[f"{name}.fits"]
    assert [each.name for each in result] == result.names
    assert len(result) == 8
    with pytest.raises(KeyError, match=f"did you mean '{name}'"):
        result[f"{name}x"]


def test_matches_residuals_and_plots(result):
    image = result[3]
    matches = image.matches
    used = matches[(matches["stage"] == "absolute") & ~matches["clipped"]]
    assert matches["residual_ra"].unit == "mas"
    assert image.residuals.shape == (len(used), 2)
    assert (image.residuals[:, 0] == used["residual_ra"]).all()
    for figure in (image.plot(), image.plot_residuals("relative"), image.plot_vectors(cells=2), result.plot_sky()):
        assert figure._repr_html_().startswith("<img")
    assert set(image.slopes()["residual"]) == {"residual_ra", "residual_dec"}


def test_a_stage_that_was_not_asked_for(scene_files):
    alone = tweakreg.align(scene_files, **FIND)
    with pytest.raises(ValueError, match="absolute stage was not asked for: set abs_refcat"):
        alone[0].plot("absolute")


def test_words_are_few_and_the_notebook_has_pictures(result):
    assert repr(result).startswith("<RunResult 8 images in 4 groups: 8 COMPLETE; relative: ")
    assert len(repr(result)) < 400
    assert repr(result[1]).startswith("<ImageResult COMPLETE: absolute: ")
    for shown, pictures in ((result, 2), (result[1], 1)):
        html = shown._repr_html_()
        assert html.count("data:image/png") == pictures
        assert "<table>" in html
        assert result.names[1] in html


def test_what_is_shown_is_escaped(scene):
    model = next(iter(make_models(scene)))
    model.meta.filename = "<script>_cal.fits"
    shown = tweakreg.align(model, **FIND)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_saving_writes_what_the_step_writes(result, scene_files, refcat, tmp_path):
    written = result.save(tmp_path / "ours")
    call(str(scene_files), abs_refcat=str(refcat), save_matches=True, save_results=True,
         output_dir=str(tmp_path / "theirs"), **FIND)  # fmt: skip
    names = {path.name for path in (tmp_path / "ours").iterdir()}
    assert names == {path.name for path in written} == {path.name for path in (tmp_path / "theirs").iterdir()}


def test_saving_never_replaces_an_input(scene_files, tmp_path):
    path = next(scene_files.parent.glob("*_cal.fits"))
    copy = tmp_path / "a_tweakreg.fits"
    copy.write_bytes(path.read_bytes())
    alone = tweakreg.align(copy, **FIND)
    with pytest.raises(OutputError, match="would replace the input"):
        alone.save(tmp_path)


def test_a_dry_run_saves_no_exposure(scene_files, tmp_path):
    tried = tweakreg.align(scene_files, dry_run=True, **FIND)
    assert [path.name for path in tried.save(tmp_path)] == ["scene_tweakreg_fits.ecsv"]


def test_failures_may_be_errors_and_the_result_is_kept(scene):
    model = next(iter(make_models(scene)))
    with pytest.raises(AlignmentFailedError, match="1 image could not be aligned") as caught:
        tweakreg.align(model, on_failure="error", **FIND)
    assert caught.value.result[0].relative.outcome.name == "NOT_NEEDED"


def test_the_step_has_the_result_of_its_last_run(scene):
    step = tweakreg.TweakRegStep(roundhi=0.6)
    assert step.result is None
    step.run(list(make_models(scene))[:4])
    assert re.match(r"<RunResult 4 images", repr(step.result))


def test_a_record_and_its_tree_say_the_same(result, scene):
    failed = tweakreg.align(list(make_models(scene))[:1], abs_refcat="", **FIND)
    for record in (*result.records, *failed.records):
        tree = to_tree(record)
        assert to_tree(from_tree(tree)) == tree


def test_numbers_stand_beside_the_words(scene_files):
    few = tweakreg.align(scene_files, minobj=5000, **FIND)
    stage = few.records[0].relative
    assert stage.outcome.name == "TOO_FEW_SOURCES"
    assert stage.numbers["needed"] == 5000.0
    assert stage.detail == f"{stage.numbers['found']:.0f} of 5000 sources"


def test_origins_of_parameters(result):
    origins = result.records[0].origins.parameters
    assert origins["roundhi"] == (0.6, "keyword")
    assert origins["kernel_fwhm"][1] == "reference file jwst_nircam_pars-tweakregstep_f200w.asdf"
    assert origins["sigma"] == (3.0, "default")


def test_a_run_of_two_epochs_is_the_same_after_a_pickle(caplog):
    """To the bit: which groups are of one epoch is no question of which objects are the same."""
    caplog.set_level("INFO", logger="tweakreg")
    from tweakreg.parameters import make_config
    from tweakreg.pipeline.align import align_exposures
    from tweakreg.pipeline.measure import measure
    from tweakreg.pipeline.reference import Reference
    from tweakreg.records import Selection
    from tweakreg.reference.providers import Request

    scene = make_scene(size=256, n_stars=200, n_visits=2, visit_years=(-3.0, 0.0), motion=8.0, seed=5)
    step = tweakreg.TweakRegStep(roundhi=0.6, abs_refcat="GAIADR3")
    config = make_config(step.get_pars())
    gaia = catalog_of(scene.gaia(), "gaia", Selection.of_reference(), name="gaia", provenance="")
    exposures = measure(tweakreg.ModelLibrary(list(make_models(scene))), config).exposures
    request = Request(given=gaia)
    first = align_exposures(exposures, Reference(request, config.find), config)
    again = pickle.loads(pickle.dumps((exposures, request, config)))
    second = align_exposures(again[0], Reference(again[1], again[2].find), again[2])
    assert "exposures of 2 epochs" in caplog.text
    assert len(first.corrections) == 4
    for group, correction in first.corrections.items():
        other = second.corrections[group]
        assert (correction.matrix == other.matrix).all()
        assert (correction.shift == other.shift).all()
        assert (first.covariances[group] == second.covariances[group]).all()
