"""What is said while a run goes on, and at its end."""

from __future__ import annotations

import io
import logging

import pytest

from helpers import FIND, run
from tweakreg.plane import TangentPlane
from tweakreg.progress import progress
from tweakreg.records import Outcome, Stage, Status
from tweakreg.report.lines import failure_groups, summary_lines
from tweakreg.results.record import ImageRecord, StageRecord


def said(caplog):
    """The lines of the summary."""
    return [record.getMessage() for record in caplog.records if record.name == "tweakreg.step"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals(monkeypatch, terminal):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr("sys.stderr", stream)
    with progress(3, "sources") as count:
        for _ in range(3):
            count()
    assert ("sources" in stream.getvalue()) is terminal


def test_a_log_file_stays_a_log_file(monkeypatch, tmp_path):
    """A bar redirects what goes to the terminal, and nothing else."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", stream)
    handler = logging.FileHandler(tmp_path / "log.txt")
    logging.root.addHandler(handler)
    try:
        with progress(1, "sources"):
            logging.getLogger("tweakreg").warning("for the file")
    finally:
        logging.root.removeHandler(handler)
        handler.close()
    assert "for the file" not in stream.getvalue()
    assert (tmp_path / "log.txt").read_text() == "for the file\n"


def test_an_interruption_says_how_far_it_came(caplog):
    with pytest.raises(KeyboardInterrupt), progress(3, "plots") as count:
        count()
        raise KeyboardInterrupt
    assert "interrupted in plots, after 1 of 3 images" in caplog.text


def test_the_summary_names_every_file_that_was_written(scene_files, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="tweakreg")
    run(
        scene_files, abs_refcat=str(scene_files.parent / "refcat.ecsv"), save_results=True, save_correction=True,
        save_matches=True, save_refcat=True, save_catalogs=True, save_abs_catalog=True, save_plots=True,
        save_report=True, output_dir=str(tmp_path), **FIND,
    )  # fmt: skip
    lines = said(caplog)
    assert len(lines) <= 10
    assert lines[0].startswith("8 images in 4 groups: 8 COMPLETE")
    (where,) = [line for line in lines if str(tmp_path) in line]
    names = where.split(": ", 1)[1].split(", ")
    for path in tmp_path.iterdir():
        assert any(path.name == name or path.name.endswith(name.split(" (")[0].lstrip("*")) for name in names), path
    counted = sum(int(name.split("(")[1].rstrip(")")) if "(" in name else 1 for name in names)
    assert counted == len(list(tmp_path.iterdir()))


def test_a_dry_run_says_so(scene_files, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="tweakreg")
    run(scene_files, dry_run=True, save_results=True, output_dir=str(tmp_path), **FIND)
    assert said(caplog)[0].endswith("(dry run)") or "(dry run)" in " ".join(said(caplog))


def record(name, status, relative, absolute="NOT_REQUESTED"):
    stages = (
        StageRecord(stage=stage, outcome=Outcome[outcome])
        for stage, outcome in zip(Stage, (relative, absolute), strict=True)
    )
    relative, absolute = stages
    return ImageRecord(
        name=name, group=name, epoch=2025.0, status=Status(status), dry_run=False, composed=False,
        plane=TangentPlane(ra=0.0, dec=0.0), relative=relative, absolute=absolute,
    )  # fmt: skip


def test_many_kinds_of_failure_fit_into_ten_lines(tmp_path):
    outcomes = ["TOO_FEW_SOURCES", "AMBIGUOUS", "WORSE", "TOO_LARGE", "SINGULAR"]
    records = [record(f"image{i}", "FAILED", outcomes[i % 5]) for i in range(50)]
    lines = summary_lines(records, [tmp_path / f"image{i}_tweakreg.fits" for i in range(50)], 1.0)
    assert len(lines) <= 10
    assert any("3 further reasons" in line for line in lines)
    assert any("*_tweakreg.fits (50)" in line for line in lines)
    assert max(map(len, lines)) < 600


@pytest.mark.parametrize(
    ("relative", "absolute", "stage", "outcome"),
    [
        ("TOO_FEW_SOURCES", "TOO_FEW_SOURCES", "relative", "TOO_FEW_SOURCES"),
        ("NO_OVERLAP", "TOO_FEW_MATCHES", "absolute", "TOO_FEW_MATCHES"),
        ("ALIGNED", "NO_REFERENCE", "absolute", "NO_REFERENCE"),
        ("NOT_NEEDED", "NOT_REQUESTED", "relative", "NOT_NEEDED"),
    ],
)
def test_the_reason_of_a_failure_is_the_one_that_can_be_helped(relative, absolute, stage, outcome):
    (failure,) = failure_groups([record("one", "FAILED", relative, absolute)])
    assert (failure.stage, failure.outcome.name) == (stage, outcome)
    assert failure.names == ("one",)


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
