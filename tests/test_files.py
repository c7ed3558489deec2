"""Associations, libraries, catalogs beside exposures, names of results."""

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from helpers import look, write_association
from tweakreg import ModelLibrary
from tweakreg.errors import CatalogError, InputError, OutputError
from tweakreg.observatory.association import load_association, output_association
from tweakreg.observatory.catalogs import custom_catalogs, read_catfile
from tweakreg.observatory.library import open_library
from tweakreg.observatory.output import plan_outputs, stem
from tweakreg.reference.file import read_reference


@pytest.fixture
def folder(tmp_path, scene_files):
    """A folder with the names of the scene's exposures."""
    for path in scene_files.parent.glob("*_cal.fits"):
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.fixture
def names(folder):
    return sorted(path.name for path in folder.glob("*_cal.fits"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "is not of type 'object'"),
        ("{}", "'products' is a required property"),
        ('{"products": []}', "products"),
        ('{"products": [{"members": []}]}', r"products\[0\].members"),
        ('{"products": [{"members": [{"expname": "a.fits"}]}]}', r"members\[0\]: 'exptype' is a required property"),
        ('{"products": [{"members": [{"expname": 5, "exptype": "science"}]}]}', r"members\[0\].expname: 5 is not of"),
        ('{"products": [{"members": [{"expname": "a.fits", "exptype": "science"}]}]}', "a.fits': no such file"),
        ('{"products": [{"members": [{"expname": "a.fits", "exptype": "background"}]}]}', "none has exptype 'science'"),
    ],
)
def test_a_broken_association_names_file_and_field(tmp_path, content, message):
    path = tmp_path / "broken_asn.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        load_association(path)
    assert "broken_asn.json" in str(error.value)


def test_missing_association(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: the association does not exist"):
        ModelLibrary(tmp_path / "none.json")


def test_groups_are_exposures(scene_files):
    library = ModelLibrary(scene_files)
    assert len(library) == 8
    assert sorted(map(len, library.group_indices.values())) == [2, 2, 2, 2]
    assert "jw09999001001_02101_1" in library.group_names


def test_exptype_in_any_case_and_only_science(folder, names):
    members = [
        {"expname": names[0], "exptype": "SCIENCE"},
        {"expname": "nowhere.fits", "exptype": "Background"},
        {"expname": names[1], "exptype": "Science"},
    ]
    library = ModelLibrary(write_association(folder / "asn.json", members))
    assert len(library) == 2
    assert [member["exptype"] for member in library.association["products"][0]["members"]] == [
        "science", "background", "science"
    ]  # fmt: skip


def test_group_id_of_the_association_beats_metadata_beats_keywords(folder, names):
    from stdatamodels.jwst import datamodels

    with datamodels.open(folder / names[1]) as model:
        model.meta.group_id = "mine"
        model.save(folder / "mine_cal.fits")
    members = [
        {"expname": names[0], "exptype": "science"},
        {"expname": "mine_cal.fits", "exptype": "science"},
        {"expname": names[2], "exptype": "science", "group_id": 17},
    ]
    library = ModelLibrary(write_association(folder / "asn.json", members))
    assert look(library, lambda model: model.meta.group_id) == ["jw09999001001_02101_1", "mine", "17"]


def test_exposures_without_keywords_are_groups_of_their_own(scene):
    from tweakreg.simulate.models import make_models

    models = list(make_models(scene, pixels=False))[:3]
    for model in models:
        model.meta.observation.exposure_number = None
    assert len(ModelLibrary(models).group_names) == 3


@pytest.mark.parametrize("kind", ["path", "string", "dict", "file", "files", "model", "models", "library"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_kind_of_input(folder, names, kind, on_disk, monkeypatch):
    from stdatamodels.jwst import datamodels

    monkeypatch.chdir(folder)
    asn = write_association(folder / "asn.json", names[:2])
    models = [datamodels.open(name) for name in names[:2]]
    init = {
        "path": asn,
        "string": str(asn),
        "dict": json.loads(asn.read_text()),
        "file": names[0],
        "files": names[:2],
        "model": models[0],
        "models": models,
        "library": ModelLibrary(asn),
    }[kind]
    library = open_library((init,), on_disk=on_disk)
    assert len(library) == (1 if kind in {"file", "model"} else 2)
    assert look(library, lambda model: model.meta.filename)[0] == names[0]
    for model in models:
        assert not model.meta.hasattr("group_id")
        model.close()


def test_names_are_relative_to_the_association_or_input_dir(folder, names, monkeypatch, tmp_path_factory):
    asn = write_association(folder / "asn.json", names[:2])
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(ModelLibrary(asn)) == 2
    assert len(open_library(("asn.json",), on_disk=False, input_dir=str(folder))) == 2
    assert len(open_library((names[0], names[1]), on_disk=False, input_dir=str(folder))) == 2
    assert len(open_library((json.loads(asn.read_text()),), on_disk=False, input_dir=str(folder))) == 2


def test_what_is_no_datamodel_is_refused(tmp_path):
    (tmp_path / "text.fits").write_text("hello")
    for name in ("text.fits", "missing.fits"):
        with pytest.raises(InputError, match=name):
            ModelLibrary([tmp_path / name])
    with pytest.raises(InputError, match="empty"):
        ModelLibrary([])


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


def test_other_members_stand_unchanged_in_the_association_of_the_results():
    members = [
        {"expname": "a_cal.fits", "exptype": "science", "tweakreg_catalog": "a.ecsv"},
        {"expname": "b_x1d.fits", "exptype": "sourcecat", "note": 3},
    ]
    association = {"asn_id": "a1", "products": [{"name": "p", "members": members}], "table_name": "x"}
    same = output_association(association, {"a_cal.fits": "a_tweakreg.fits"}, Path("d"), Path("d"))
    assert same["products"][0]["members"][1] == members[1]
    assert same["products"][0]["members"][0]["expname"] == "a_tweakreg.fits"
    assert "table_name" not in same
    moved = output_association(association, {"a_cal.fits": "a_tweakreg.fits"}, Path("d"), Path("d/out"))
    assert moved["products"][0]["members"][1]["expname"] == "../b_x1d.fits"
    assert moved["products"][0]["members"][0]["tweakreg_catalog"] == "../a.ecsv"


def test_catfile(tmp_path):
    (tmp_path / "cats.txt").write_text("# a comment\na_cal.fits  a.ecsv\nb_cal.fits\n\nc_cal.fits sub/c.ecsv # why\n")
    assert read_catfile(tmp_path / "cats.txt") == {
        "a_cal.fits": tmp_path / "a.ecsv",
        "b_cal.fits": None,
        "c_cal.fits": tmp_path / "sub/c.ecsv",
    }
    (tmp_path / "cats.txt").write_text("a b c\n")
    with pytest.raises(CatalogError, match="line 1 has 3 columns"):
        read_catfile(tmp_path / "cats.txt")


def test_catfile_hides_the_catalogs_of_the_association(folder, names):
    members = [{"expname": name, "exptype": "science", "tweakreg_catalog": "asn.ecsv"} for name in names[:2]]
    members[1]["tweakreg_catalog"] = ""
    library = ModelLibrary(write_association(folder / "asn.json", members))
    assert custom_catalogs(library, "") == {0: folder / "asn.ecsv", 1: None}
    (folder / "cats.txt").write_text(f"{names[0]} mine.ecsv\n")
    assert custom_catalogs(library, str(folder / "cats.txt")) == {0: folder / "mine.ecsv"}


@pytest.mark.parametrize(
    "table",
    [
        Table({"RA": [1.0, 2.0], "DEC": [3.0, 4.0]}),
        Table({"ra": [1.0, 2.0], "Dec": [3.0, 4.0], "weight": [1.0, 2.0]}),
        Table({"sky_centroid": SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg")}),
        Table({"Sky_Centroid": SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg"), "label": [1, 2]}),
    ],
    ids=lambda table: "-".join(table.colnames),
)
def test_reference_columns(tmp_path, table):
    table.write(tmp_path / "ref.ecsv")
    catalog = read_reference(tmp_path / "ref.ecsv")
    assert catalog.ra == pytest.approx([1.0, 2.0], abs=1e-12)
    assert catalog.dec == pytest.approx([3.0, 4.0], abs=1e-12)
    assert (catalog.weight is not None) == ("weight" in table.colnames)
    assert catalog.name == "ref.ecsv"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table({"x": [1.0]}), "needs columns RA and DEC"),
        (Table({"RA": [np.nan], "DEC": [1.0]}), "no row with a position"),
        (Table({"RA": [1.0], "ra": [1.0], "DEC": [1.0]}), "differ only in case"),
        (Table({"RA": [1.0], "DEC": [100.0]}), "beyond"),
        (Table({"RA": ["a"], "DEC": [1.0]}), "does not hold numbers"),
        (Table({"sky_centroid": [1.0]}), "does not hold sky coordinates"),
        (Table({"RA": [1.0], "DEC": [1.0], "weight": [-1.0]}), "negative"),
    ],
)
def test_broken_reference_catalogs(tmp_path, table, message):
    table.write(tmp_path / "ref.ecsv")
    with pytest.raises(CatalogError, match=message):
        read_reference(tmp_path / "ref.ecsv")


def test_reference_rows_without_position_are_left_out_and_said(tmp_path, caplog):
    Table({"RA": [1.0, np.nan], "DEC": [3.0, 4.0], "pmra": [0.0, 1.0]}).write(tmp_path / "ref.ecsv")
    assert len(read_reference(tmp_path / "ref.ecsv")) == 1
    assert "1 of 2 rows" in caplog.text
    assert "no row" not in caplog.text


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


def test_a_bare_name_is_sought_in_input_dir_then_where_it_says(folder, names, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "other_cal.fits").symlink_to(folder / names[0])
    monkeypatch.chdir(elsewhere)
    assert len(open_library((names[0], "other_cal.fits"), on_disk=False, input_dir=str(folder))) == 2


def test_group_id_zero_is_a_group_id(scene):
    from tweakreg.simulate.models import make_model

    model = make_model(scene, scene.exposures[0], pixels=False)
    model.meta.group_id = "0"
    assert ModelLibrary([model]).group_names == {"0"}


def test_a_catfile_that_is_no_text_and_names_that_match_nothing(folder, names, caplog):
    (folder / "cats.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(CatalogError, match="not a text file"):
        read_catfile(folder / "cats.txt")
    (folder / "cats.txt").write_text("nobody_cal.fits a.ecsv\n")
    custom_catalogs(ModelLibrary([folder / names[0]]), str(folder / "cats.txt"))
    assert "nobody_cal.fits is not among the exposures" in caplog.text
