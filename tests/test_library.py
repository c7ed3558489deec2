"""The library of exposures: groups, and every kind of input."""

from __future__ import annotations

import json

import pytest

from helpers import look, write_association
from tweakreg import ModelLibrary
from tweakreg.errors import InputError
from tweakreg.observatory.library import open_library


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
