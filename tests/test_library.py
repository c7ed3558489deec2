"""The library of exposures: groups, and every kind of input."""

from __future__ import annotations

import gzip
import json

import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from helpers import look, write_association
from tweakreg import ModelLibrary
from tweakreg.errors import InputError
from tweakreg.observatory.library import open_library
from tweakreg.observatory.missions import open_model


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


@pytest.mark.parametrize(
    "init", [None, 5, [None], ["~nosuch_cal.fits"], "x" * 300 + "_cal.fits", "a\0b.fits", "~no.json"]
)
def test_what_is_no_exposure_is_refused(init):
    for make in (ModelLibrary, lambda each: open_library((each,), on_disk=False)):
        with pytest.raises(InputError):
            make(init)


@pytest.mark.parametrize("ending", [".fits", ".asdf", ".fits.gz"])
def test_an_exposure_with_a_transform_of_any_number_of_axes_is_refused(folder, names, ending, tmp_path):
    """Each axis would be given a name, until the memory is full."""
    path = tmp_path / f"bad_cal{ending}"
    with datamodels.open(folder / names[0]) as model:
        model.save(tmp_path / "good_cal.asdf")
    good = (tmp_path / "good_cal.asdf" if ending == ".asdf" else folder / names[0]).read_bytes()
    bad = good.replace(b"mapping: [0, 1, 0, 1]", b"mapping: [0, 9999999]")
    assert bad != good
    path.write_bytes(gzip.compress(bad) if ending == ".fits.gz" else bad)
    with pytest.raises(InputError, match=r"bad_cal.*more than 100 axes"):
        open_model(path)


def broken(whole):
    yield b"", "is empty"
    yield b" <html>401</html>", "a page or a message of a server"
    yield b'{"message": "401"}', "a page or a message of a server"
    yield whole[: len(whole) // 2], "should have"
    yield whole[:-3000], "should have"
    yield whole[: whole.rindex(b"XTENSION") + 5], "should have"
    yield gzip.compress(whole)[:-4000], "ends too early"


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("group", [{}, {"group_id": "1"}])
def test_a_download_that_broke_off_is_called_that(folder, names, number, group):
    content, words = list(broken((folder / names[1]).read_bytes()))[number]
    name = "bad_cal.fits.gz" if number == 6 else "bad_cal.fits"
    (folder / name).write_bytes(content)
    asn = write_association(folder / "asn.json", [names[0], {"expname": name, "exptype": "science", **group}])
    with pytest.raises(InputError, match=f"bad_cal.*{words}") as raised:
        look(ModelLibrary(asn), lambda model: model.meta.filename)
    assert "ignore_missing_simple" not in str(raised.value)


def test_temporary_files_stay_in_their_folder(folder, names, tmp_path):
    from stdatamodels.jwst import datamodels

    with datamodels.open(folder / names[0]) as model:
        model.save(folder / "far_cal.fits")
    fits.setval(folder / "far_cal.fits", "FILENAME", value="../../../escaped.fits")
    library = ModelLibrary([folder / "far_cal.fits"], on_disk=True)
    with library:
        library.put_back(library.borrow(0), 0, changed=True)
    assert library.temporary_file(0).parent.parent == library._temp_path
