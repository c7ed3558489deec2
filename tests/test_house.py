"""The house keeps its rules: what may know what, and what stands once."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import house
from tweakreg import records
from tweakreg.records import Outcome, Stage, StageConfig, Status, status
from tweakreg.spec import DEFAULTS

ROOT = Path(__file__).parent.parent


def test_only_the_observatory_touches_the_metadata_of_a_datamodel():
    assert house.meta_above() == []


def test_only_one_room_knows_the_names_in_the_tree_of_a_result():
    assert house.trees_outside() == []


def test_functions_fit_on_a_screen_and_take_what_one_can_remember():
    long = [(place, length) for place, _, length in house.functions() if length > 50]
    many = [place for place, node, _ in house.functions() if house.n_arguments(node) > 8]
    assert long == []
    assert many == []


def test_every_entry_of_a_docstring_says_something():
    assert [place for place, said in house.entries() if not said] == []


@pytest.fixture
def copy(tmp_path):
    """The sources and the contracts, to be broken."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def linted(folder):
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder / "src")}, capture_output=True, text=True,
                          check=False, timeout=300)  # fmt: skip


def test_imports_run_downward(copy):
    done = linted(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("place", "line", "contract"),
    [
        ("pipeline/new.py", "from tweakreg.observatory import hst", "missions chooses"),
        ("pipeline/save.py", "import photutils", "find is the door to photutils"),
        ("new.py", "import gwcs", "wcs and simulate are the doors to gwcs"),
        ("report/lines.py", "import stpipe", "stpipe ends at the step"),
        ("records/geometry.py", "from tweakreg import wcs", "Imports run downward only"),
    ],
)
def test_a_contract_holds_for_every_module_also_a_new_one(copy, place, line, contract):
    path = copy / "src" / "tweakreg" / place
    before = path.read_text() if path.exists() else '"""New."""\n'
    path.write_text(before.replace("from __future__ import annotations\n", "", 1) + f"\n{line}\n")
    done = linted(copy)
    assert done.returncode != 0
    assert any(contract in each and "BROKEN" in each for each in done.stdout.splitlines()), done.stdout


def test_nothing_imports_stcal():
    """It brings drizzle, scikit-image and more; only its environment variable is kept, and tests use it as a peer."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not any(each.startswith("stcal") for each in project["dependencies"])
    code = "import sys, tweakreg.step, tweakreg.pipeline.run, tweakreg.report.page; print('stcal' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("kind", [records.StageConfig, records.FindConfig, records.SipConfig, records.Selection])
def test_defaults_stand_in_the_spec_alone(kind):
    assert [field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING] == []


def test_defaults_of_both_stages_are_those_of_the_spec():
    for stage, prefix in ((Stage.RELATIVE, ""), (Stage.ABSOLUTE, "abs_")):
        config = StageConfig.of(stage)
        for name in ("minobj", "searchrad", "separation", "tolerance", "sigma", "nclip", "fitgeometry"):
            assert getattr(config, name) == DEFAULTS[prefix + name]
    assert StageConfig.of(Stage.ABSOLUTE).searchrad == 6.0
    assert records.Selection.of_reference().magnitudes
    assert not records.Selection.of_sources().magnitudes


def test_outcomes_carry_what_they_imply():
    """The table in docs/outcomes.rst, for all pairs."""
    succeeded = {Outcome.ALIGNED, Outcome.REFERENCE}
    replaced = {Outcome.NOT_NEEDED, Outcome.NO_OVERLAP, Outcome.NOT_TIED}
    for relative in Outcome:
        for absolute in Outcome:
            if absolute is Outcome.NOT_REQUESTED:
                well = relative in succeeded
            else:
                well = relative in succeeded | replaced and absolute is Outcome.ALIGNED
            assert (status(relative, absolute) is Status.COMPLETE) is well
    assert all(outcome.sentence and outcome.remedy and outcome.brief for outcome in Outcome)
