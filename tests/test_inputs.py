"""Exposures as people give them, values as Python has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from helpers import FIND, run, statuses
from tweakreg import TweakRegStep
from tweakreg.errors import InputError, ParameterError
from tweakreg.observatory.inputs import items_of
from tweakreg.observatory.library import ModelLibrary


@pytest.fixture(scope="module")
def names(scene_files):
    return sorted(str(path) for path in scene_files.parent.glob("*_cal.fits"))[:4]


WAYS = {
    "nested lists": lambda names: [names[:1], [names[1:3], (names[3],)]],
    "generator": lambda names: (name for name in names),
    "array": np.array,
    "column": lambda names: Table({"file": names})["file"],
    "bytes": lambda names: [name.encode() for name in names],
    "paths": lambda names: [Path(name) for name in names],
    "HDULists": lambda names: [fits.open(name) for name in names],
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_to_give_exposures(way, names):
    assert len(statuses(run(WAYS[way](names), **FIND))) == 4


@pytest.mark.parametrize("inputs", [None, 5, [None], [1.5], np.array([1, 2]), {1: 2}.values()])
def test_what_is_no_exposure(inputs):
    with pytest.raises(InputError, match="which is no exposure: give an association"):
        run(inputs)


def test_a_folder_and_an_association_among_others(names, scene_files):
    with pytest.raises(InputError, match="is a folder: name the exposures in it"):
        items_of(str(scene_files.parent))
    with pytest.raises(InputError, match="give it alone"):
        run([names[0], str(scene_files)])


def test_group_ids_that_were_edited_count(scene_files):
    library = ModelLibrary(scene_files)
    with library:
        for index, model in enumerate(library):
            model.meta.group_id = f"mine{index}"
            library.shelve(model, index)
    assert sorted(run(library, **FIND).group_names) == [f"mine{index}" for index in range(8)]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("brightest", np.int64(150), 150),
        ("searchrad", np.float32(2.0), 2.0),
        ("use2dhist", np.bool_(True), True),
        ("minobj", np.array(12), 12),
        ("connectivity", 8, "8"),
        ("brightest", "None", None),
        ("abs_refcat", None, ""),
        ("catfile", Path("here.txt"), "here.txt"),
    ],
)
def test_values_mean_the_same_as_keywords_and_as_attributes(name, value, expected):
    step = TweakRegStep()
    setattr(step, name, value)
    for each in (step, TweakRegStep(**{name: value})):
        assert getattr(each, name) == expected
        assert type(getattr(each, name)) is type(expected)


def test_attributes_are_held_against_the_spec(names):
    step = TweakRegStep()
    with pytest.raises(ParameterError, match="'fitgeometry': the value \"banana\" is unacceptable"):
        step.fitgeometry = "banana"
    step.save_catlogs = True
    with pytest.raises(ParameterError, match="'save_catlogs' does not exist: did you mean 'save_catalogs'"):
        step.run(names)


def test_a_table_in_memory_is_a_reference_catalog(names, scene):
    library = run(names, abs_refcat=scene.reference_catalog(), **FIND)
    assert set(statuses(library)) == {"COMPLETE"}
