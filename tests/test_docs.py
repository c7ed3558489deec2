"""The documentation says what the code does."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from generated import write_tables

from tweakreg.parameters import parameter_groups
from tweakreg.records import Outcome

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The tables that the build includes, made anew."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copy(DOCS / "when_to_change.toml", folder)
    write_tables(folder)
    return {path.name.split(".")[0]: path.read_text(encoding="utf-8") for path in folder.glob("*.inc.rst")}


def rows(table):
    """Cells of the rows of list-tables, without their headers."""
    blocks = re.findall(r"^   \* - (.*(?:\n     - .*)*)", table, re.MULTILINE)
    return [block.split("\n     - ") for block in blocks if not block.startswith(("Name", "Outcome"))]


def test_parameter_table_is_the_spec(generated):
    """Name, value, default and purpose of each parameter, in the groups of the spec, and when to change it."""
    parameters = [parameter for _, group in parameter_groups() for parameter in group]
    table = rows(generated["parameters"])
    assert [row[0].strip("`") for row in table] == [parameter.name for parameter in parameters]
    for row, parameter in zip(table, parameters, strict=True):
        assert row[1:4] == [parameter.kind, f"``{parameter.default}``", parameter.purpose]
        assert len(row[4]) > 8
    for group, _ in parameter_groups():
        assert f"\n{group}\n---" in "\n" + generated["parameters"]


def test_advice_is_for_parameters_that_exist():
    advice = tomllib.loads((DOCS / "when_to_change.toml").read_text(encoding="utf-8"))
    assert list(advice) == [parameter.name for _, group in parameter_groups() for parameter in group]


def test_every_outcome_has_its_sentence_and_remedy(generated):
    table = {row[0].strip("`"): row[1:] for row in rows(generated["outcomes"])}
    assert table == {outcome.name: [outcome.sentence, outcome.remedy] for outcome in Outcome}


def test_parameters_named_in_remedies_exist():
    names = {parameter.name for _, group in parameter_groups() for parameter in group}
    for outcome in Outcome:
        for word in re.findall(r"\b[a-z]+_[a-z_]+\b", outcome.remedy + outcome.sentence):
            assert word in names | {"assign_wcs"}


def test_every_page_is_in_a_table_of_contents():
    listed = set(re.findall(r"^   (\w+)$", (DOCS / "index.rst").read_text(), re.MULTILINE))
    pages = {path.stem for path in DOCS.glob("*.rst") if not path.name.endswith(".inc.rst")} - {"index"}
    assert pages == listed
