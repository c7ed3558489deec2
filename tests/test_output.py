"""Names of the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from helpers import run, write_association
from tweakreg import ModelLibrary
from tweakreg.errors import InputError, OutputError, ParameterError
from tweakreg.observatory.catalogs import custom_catalogs, own_catalog
from tweakreg.observatory.header import held
from tweakreg.observatory.library import open_library
from tweakreg.observatory.output import association_name, output_folder, plan_outputs, save_library, stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/jw1_nrca1_cal.fits", "jw1_nrca1"),
        ("jw1_cal.fits.gz", "jw1"),
        ("jw1_tweakreg.fits", "jw1"),
        ("jw1_i2d.fits", "jw1"),
        ("jw1_nrca1.fits", "jw1_nrca1"),
        ("cal.fits", "cal"),
        ("jw1_crf_cal.fits", "jw1_crf"),
    ],
)
def test_stem(name, expected):
    assert stem(name) == expected


def test_outputs_are_planned_before_anything_is_written(folder, names):
    library = ModelLibrary([folder / names[0], folder / names[1]])
    outputs = plan_outputs(library, folder / "out", "tweakreg")
    assert [path.name for path in outputs] == [name.replace("_cal", "_tweakreg") for name in names[:2]]
    assert not (folder / "out").exists()
    with pytest.raises(OutputError, match="would replace the input"):
        plan_outputs(library, folder, "cal")
    (folder / "other").mkdir()
    (folder / "other" / names[0]).symlink_to(folder / names[0])
    twins = ModelLibrary([folder / names[0], folder / "other" / names[0]])
    with pytest.raises(OutputError, match="would both be written"):
        plan_outputs(twins, folder / "out", "tweakreg")


def test_open_models_do_not_replace_files_of_their_name(scene, tmp_path):
    from tweakreg.simulate.models import make_model

    model = make_model(scene, scene.exposures[0], pixels=False)
    model.save(tmp_path / "a_tweakreg.fits")
    with pytest.raises(OutputError, match="would replace the input"):
        plan_outputs(ModelLibrary([model]), tmp_path, "tweakreg")


def test_a_name_that_no_header_can_hold(folder, names):
    (folder / names[0]).rename(folder / "häuser_cal.fits")
    library = ModelLibrary([folder / "häuser_cal.fits"])
    with pytest.raises(OutputError, match=r"cannot hold the name häuser_tweakreg\.fits"):
        plan_outputs(library, folder, "tweakreg")
    assert plan_outputs(library, folder, "tweakreg", ending=".asdf")


def test_an_output_that_is_a_folder_is_found_first(folder, names):
    (folder / names[1].replace("_cal", "_tweakreg")).mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        plan_outputs(ModelLibrary([folder / name for name in names[:2]]), folder, "tweakreg")


def test_an_open_library_keeps_its_association_and_its_files_are_not_replaced(folder, names):
    for name in names[:2]:
        (folder / name).rename(folder / name.replace("_cal", "_tweakreg"))
    members = [
        {"expname": name.replace("_cal", "_tweakreg"), "exptype": "science", "tweakreg_catalog": "a.ecsv"}
        for name in names[:2]
    ]
    library = ModelLibrary(write_association(folder / "in_asn.json", members))
    copied = open_library((library,), on_disk=False)
    assert custom_catalogs(copied, "") == custom_catalogs(library, "")
    assert copied.association == library.association
    with pytest.raises(OutputError, match="would replace the input"):
        plan_outputs(copied, folder, "tweakreg")
    assert plan_outputs(copied, folder / "out", "tweakreg")[0].parent == folder / "out"


def changed(model, what, value):
    if what == "extra_fits":
        model.extra_fits = {"SCI": {"header": [["NOTE", value, ""]]}}
    elif what == "history":
        model.add_history_entry(value)
    else:
        model[what] = value


@pytest.mark.parametrize(
    ("what", "keyword", "value"),
    [
        ("meta.target.catalog_name", "TARGNAME", "Ångström"),
        ("meta.target.catalog_name", "TARGNAME", "two\nlines"),
        ("meta.photometry.conversion_megajanskys", "PHOTMJSR", float("nan")),
        ("meta.photometry.conversion_megajanskys", "PHOTMJSR", np.float32("-inf")),
        ("extra_fits", "NOTE", float("nan")),
        ("extra_fits", "NOTE", "é"),
        ("history", "history", "é"),
    ],
)
def test_what_no_header_can_hold_is_found_before_a_pixel_is_read(scene, tmp_path, monkeypatch, what, keyword, value):
    from tweakreg.simulate.models import make_model

    monkeypatch.setattr("tweakreg.pipeline.run.measure", lambda *_: pytest.fail("it was found too late"))
    models = [make_model(scene, exposure, pixels=False) for exposure in scene.exposures[:2]]
    changed(models[1], what, value)
    with pytest.raises(InputError, match=rf"(?s){models[1].meta.filename}: .*{keyword}.*cannot hold"):
        run(models, save_results=True, output_dir=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert plan_outputs(open_library((models,), on_disk=False), tmp_path, "tweakreg", ending=".asdf")


def test_names_beyond_ascii_are_written_so_that_they_are_found_again(scene, tmp_path, catalog_models):
    folder = tmp_path / "josé"
    folder.mkdir()
    models = catalog_models(scene, folder)
    for model, exposure in zip(models, scene.exposures, strict=True):
        model.meta.asn.pool_name, model.meta.filename = "grüße", exposure.filename
        assert own_catalog(held(model.meta.tweakreg_catalog), tmp_path / "x.fits") == Path(model.meta.tweakreg_catalog)
    library = open_library((models,), on_disk=False)
    save_library(library, plan_outputs(library, tmp_path / "as_they_are", "tweakreg"), "tweakreg")
    run(models, save_results=True, output_dir=str(tmp_path / "out"), use_custom_catalogs=True)
    with fits.open(tmp_path / "out" / scene.exposures[0].filename.replace("_cal", "_tweakreg")) as hdus:
        assert own_catalog(hdus[0].header["TCATFILE"], tmp_path).parent == folder
        assert hdus[0].header["ASNPOOL"] == "gr%C3%BC%C3%9Fe"


@pytest.mark.parametrize(
    ("product", "name"),
    [("../../a", "a"), ("/b/c", "c"), ("d\\e/", "e"), ("..", None), (".f", "f"), ("g\nh", "gh"), ("i j", "i j")],
)
def test_the_name_of_a_product_is_no_path(folder, names, product, name):
    association = {
        "products": [{"name": product, "members": [{"expname": str(folder / names[0]), "exptype": "science"}]}]
    }
    library = ModelLibrary(association)
    assert association_name(library, "tweakreg", None) == (name and f"{name}_tweakreg_asn.json")


def test_names_that_are_too_long(folder, names):
    with pytest.raises(OutputError, match="too long"):
        plan_outputs(ModelLibrary([folder / names[0]]), folder / "out", "x" * 300)


def test_the_folder_in_output_file(tmp_path):
    assert output_folder(None, "a/b.fits") == Path("a")
    assert output_folder(str(tmp_path), "a/b.fits") == tmp_path / "a"
    assert output_folder(None, "../b.fits") == Path("..")
    assert output_folder("x", "b.fits") == Path("x")
    for file in ("../b.fits", str(tmp_path.parent / "b.fits")):
        with pytest.raises(ParameterError, match="leads out of output_dir"):
            output_folder(str(tmp_path), file)
    for file in ("a/", "..", "/"):
        with pytest.raises(ParameterError, match="not the name of a file"):
            output_folder(None, file)
