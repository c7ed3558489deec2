"""The house keeps its rules: what may know what, what stands once, what belongs to the whole process."""

from __future__ import annotations

import dataclasses
import gc
import logging
import shutil
import subprocess
import sys
import threading
import tomllib
import warnings
from pathlib import Path

import pytest

import house
from helpers import run
from tweakreg import process, records, steppars
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


# --- contracts -------------------------------------------------------------------------------------------------


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


# --- what stands once ------------------------------------------------------------------------------------------


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


# --- what is said of files -------------------------------------------------------------------------------------


def test_the_summary_names_no_file_that_was_not_written(scene_files, tmp_path, caplog):
    """A catalog of the user's that has the name that save_catalogs would give it."""
    caplog.set_level(logging.INFO, logger="tweakreg")
    first = sorted(scene_files.parent.glob("*_cal.fits"))[0]
    own = tmp_path / f"{first.stem}_cat.ecsv"
    stars = "\n".join(f"{10 + 7 * i % 240} {10 + 31 * i % 240}" for i in range(40))
    own.write_text(f"x y\n{stars}\n")
    (tmp_path / "catfile.txt").write_text(f"{first.name} {own.name}\n")
    out = tmp_path / "out"
    run(str(first), use_custom_catalogs=True, catfile=str(tmp_path / "catfile.txt"), save_results=True,
        output_dir=str(out), xyunits="pixels")  # fmt: skip
    said = " ".join(each.getMessage() for each in caplog.records if each.name == "tweakreg.step")
    assert str(out) in said
    assert "_cat.ecsv" not in said
    assert not list(out.glob("*_cat.ecsv"))


# --- what belongs to the whole process -------------------------------------------------------------------------


def in_threads(work, number=8):
    problems = []

    def guarded():
        try:
            work()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_filters_of_warnings_are_left_as_they_were_by_threads():
    before = list(warnings.filters)

    def work():
        for _ in range(200):
            with process.silenced(RuntimeWarning), process.silenced(UserWarning, "some"):
                warnings.warn("nobody hears it", RuntimeWarning, stacklevel=1)
            with process.recorded() as caught:
                warnings.warn("this one is kept", UserWarning, stacklevel=1)
            assert len(caught) == 1

    in_threads(work)
    assert list(warnings.filters) == before


def test_what_one_run_froze_another_does_not_thaw():
    frozen = gc.get_freeze_count()
    entered, leave = threading.Event(), threading.Event()

    def long_run():
        with process.quick_collection():
            entered.set()
            leave.wait(10.0)

    thread = threading.Thread(target=long_run)
    thread.start()
    entered.wait(10.0)
    with process.quick_collection():
        pass
    assert gc.get_freeze_count() > frozen
    leave.set()
    thread.join()
    assert gc.get_freeze_count() == 0


def test_the_time_out_of_crds_is_ours_while_it_is_asked_and_the_users_where_there_is_one(monkeypatch):
    from crds.client import api
    from crds.core import config

    monkeypatch.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", "3600")
    server = api.get_crds_server()
    with steppars._crds_settings("https://serverless.invalid"):
        assert config.get_client_timeout_seconds() == steppars.CLIENT_TIMEOUT == 10
        assert api.get_crds_server() == "https://serverless.invalid"
    assert config.get_client_timeout_seconds() == 3600
    assert api.get_crds_server() == server
    monkeypatch.setenv("CRDS_CLIENT_TIMEOUT_SECONDS", "77")
    with steppars._crds_settings():
        assert config.get_client_timeout_seconds() == 77


def test_a_look_up_that_outlives_our_patience_changes_no_server(monkeypatch):
    from crds.client import api

    monkeypatch.setenv("CRDS_PATH", "somewhere")
    monkeypatch.setenv("CRDS_SERVER_URL", "http://localhost:9")
    monkeypatch.setattr(steppars, "LOOK_UP_PATIENCE", 0.05)
    ended, seen = threading.Event(), []

    def late(header):
        ended.wait(5.0)
        seen.append(api.get_crds_server())
        return "NOT FOUND"

    monkeypatch.setattr(steppars, "_best_reference", late)
    before = api.get_crds_server()
    assert steppars._from_crds({"meta.instrument.name": "NIRCAM"}) is None
    assert api.get_crds_server() == before
    ended.set()
