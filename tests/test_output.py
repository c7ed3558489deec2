"""Names of the results."""

from __future__ import annotations

import pytest

from helpers import write_association
from tweakreg import ModelLibrary
from tweakreg.errors import OutputError
from tweakreg.observatory.catalogs import custom_catalogs
from tweakreg.observatory.library import open_library
from tweakreg.observatory.output import plan_outputs, stem


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
