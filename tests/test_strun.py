"""The step as astronomers run it."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from helpers import STRUN, environment, strun, write_association
from tweakreg import read_correction, read_result


@pytest.mark.parametrize("name", ["tweakreg", "tweakreg.TweakRegStep", "tweakreg::tweakreg"])
def test_help_is_quick_and_imports_nothing_heavy(tmp_path, name):
    code = (
        "import sys, time; sys.argv = ['strun', '-h', sys.argv[1]]\n"
        "from stpipe._cli.strun import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = 'photutils gwcs tweakwcs stdatamodels matplotlib jinja2 pyarrow'.split()\n"
        "print('HEAVY', [m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--searchrad" in done.stdout
    assert "Radius in which the offset is sought, and up to the tolerance beyond, arcsec" in " ".join(
        done.stdout.split()
    )
    assert done.stdout.strip().endswith("HEAVY []")


def test_a_folder_of_the_same_name(tmp_path):
    (tmp_path / "tweakreg").mkdir()
    for name in ("tweakreg.TweakRegStep", "tweakreg::tweakreg"):
        assert strun("-h", name, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(("installed", "alias"), [(set(), "tweakreg"), ({"jwst"}, None), ({"romancal"}, None)])
def test_alias_only_where_it_is_free(monkeypatch, installed, alias):
    from tweakreg import stpipe_steps

    monkeypatch.setattr(stpipe_steps, "_installed", lambda name: name in installed)
    assert stpipe_steps.get_steps() == [("tweakreg.TweakRegStep", alias, False)]


def test_association_in_aligned_exposures_out(scene_files, tmp_path):
    refcat = scene_files.parent / "refcat.ecsv"
    done = strun("tweakreg", scene_files, f"--abs_refcat={refcat}", "--roundhi=0.6", "--brightest=None", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 images in 4 groups: 8 COMPLETE" in done.stderr
    assert len(list(tmp_path.glob("*_tweakreg.fits"))) == 8
    assert (tmp_path / "scene_tweakreg_asn.json").exists()


def test_several_files_and_input_dir(scene_files, tmp_path):
    names = sorted(path.name for path in scene_files.parent.glob("*nrca1_cal.fits"))
    done = strun("tweakreg", *names, f"--input_dir={scene_files.parent}", "--roundhi=0.6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*_tweakreg.fits"))) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["GOOD", "--searchrad=-1"], "Parameter 'searchrad'"),
        (["GOOD", "--separation=0.5"], "Parameter 'separation' = 0.5"),
        (["GOOD", "--serchrad=1"], "unrecognized arguments: --serchrad=1"),
        (["GOOD", "--starfinder=none"], "one of dao, iraf, segmentation"),
        (["GOOD", "--abs_refcat=none.ecsv"], "Parameter 'abs_refcat' = 'none.ecsv'"),
        (["none.json"], "none.json: the association does not exist"),
        (["broken_asn.json"], "'exptype' is a required property"),
        (["plain.fits"], "plain.fits: not the FITS or ASDF file of a datamodel"),
        ([], "it is empty"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and value else None,
)
def test_mistakes_end_in_a_sentence(scene_files, tmp_path, arguments, message):
    (tmp_path / "broken_asn.json").write_text('{"products": [{"members": [{"expname": "a.fits"}]}]}')
    fits.writeto(tmp_path / "plain.fits", np.zeros((10, 10)))
    before = sorted(path.name for path in tmp_path.iterdir())
    done = strun("tweakreg", *[scene_files if each == "GOOD" else each for each in arguments], cwd=tmp_path)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode not in (0, None)
    assert message in said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["ha#sh", "a,b", "a b", "#", "O'Neil"])
def test_a_value_on_the_command_line_is_what_stands_there(scene_files, tmp_path, name):
    done = strun("tweakreg", scene_files, f"--output_dir={name}/out", "--dry_run=true", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "out" / "scene_tweakreg_fits.ecsv").exists()


@pytest.mark.parametrize("name", [" a", "a ", "'a", "a%(b)s"])
def test_a_value_that_strun_cannot_read(scene_files, tmp_path, name):
    done = strun("tweakreg", scene_files, "--output_dir", name, cwd=tmp_path)
    assert done.returncode == 1
    assert "Parameter 'output_dir'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_with_143_and_leaves_nothing(scene_files, tmp_path):
    command = [STRUN, "tweakreg", str(scene_files), "--maximum_cores=2"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = "begin"
    while line and "sources found" not in line:
        line = process.stderr.readline()
    process.terminate()
    said = "".join(process.communicate(timeout=60))
    assert process.returncode == 143
    assert "no exposure is written" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_member_that_is_no_datamodel_stops_the_run_before_anything_is_written(scene_files, tmp_path):
    fits.writeto(tmp_path / "plain_cal.fits", np.zeros((10, 10)))
    good = next(scene_files.parent.glob("*_cal.fits"))
    asn = write_association(tmp_path / "asn.json", [str(good), "plain_cal.fits"])
    before = sorted(path.name for path in tmp_path.iterdir())
    done = strun("tweakreg", asn, "--save_catalogs=True", cwd=tmp_path)
    assert done.returncode == 1
    assert "plain_cal.fits" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def _listens():
    """In the new process: Ctrl-C is ignored, and inherited as such, where the tests run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("on_disk", [False, True])
def test_ctrl_c_leaves_inputs_intact_and_says_how_far_it_came(scene_files, tmp_path, on_disk):
    before = {path.name: path.read_bytes() for path in scene_files.parent.iterdir()}
    command = [STRUN, "tweakreg", str(scene_files), f"--in_memory={not on_disk}"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_listens
    )
    said = ""
    while "sources found" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    rest_out, rest = process.communicate(timeout=60)
    said += rest + rest_out
    assert process.returncode == 130
    assert "no exposure is written, inputs are as they were" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert {path.name: path.read_bytes() for path in scene_files.parent.iterdir()} == before


def test_killed_at_twenty_moments(scene_files, tmp_path):
    """SIGKILL: inputs as they were, nothing half-written under a final name, and the next run succeeds."""
    inputs = {path: path.read_bytes() for path in scene_files.parent.iterdir()}
    command = [STRUN, "tweakreg", str(scene_files), "--roundhi=0.6", "--save_matches=true", "--save_correction=true"]
    options = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    start = time.perf_counter()
    subprocess.run(command, check=True, **options)
    duration = time.perf_counter() - start
    expected = {path.name for path in tmp_path.iterdir()}
    # Most moments near the end, where files are written.
    for moment in duration * np.sqrt(np.random.default_rng(0).uniform(0.0, 1.0, size=20)):
        for path in tmp_path.glob("[!.]*"):
            path.unlink()
        process = subprocess.Popen(command, start_new_session=True, **options)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for path in tmp_path.glob("[!.]*"):
            assert path.name in expected
            if path.suffix == ".fits":
                assert read_result(path)["status"] == "COMPLETE"
            elif path.suffix == ".ecsv":
                assert "stage" in Table.read(path).colnames
            elif path.suffix == ".asdf":
                assert read_correction(path).members
    subprocess.run(command, check=True, **options)
    assert {path.name for path in tmp_path.glob("[!.]*")} == expected
    assert {path: path.read_bytes() for path in scene_files.parent.iterdir()} == inputs
