"""Files are moved all at once or not at all, and what killed runs left is removed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import run
from tweakreg import process
from tweakreg.cli import main
from tweakreg.errors import OutputError
from tweakreg.files import check_writable, staging
from tweakreg.workers import share_out


def write(folder, words):
    with staging(folder) as temporary:
        for name, word in words.items():
            (temporary / name).write_text(word)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), process.Terminated(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("linked", [True, False])
def test_an_interruption_between_two_moves_puts_back_what_was_moved(tmp_path, monkeypatch, problem, linked):
    write(tmp_path, {"a": "old"})
    replace, moves = Path.replace, []

    def fail(self, target):
        moves.append(target)
        if len(moves) == 3:
            raise problem
        return replace(self, target)

    if not linked:
        monkeypatch.setattr(os, "link", lambda *_, **__: tmp_path.readlink())
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError if isinstance(problem, OSError) else type(problem)):
        write(tmp_path, {"a": "new", "b": "new", "c": "new"})
    assert contents(tmp_path) == {"a": "old"}


LEAVES = """
import os, sys, tweakreg.files
from pathlib import Path
with tweakreg.files.staging(Path(sys.argv[1])) as temporary:
    (temporary / "x").write_text("x")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_run_left_is_removed_and_what_is_in_use_is_not(tmp_path):
    command = [sys.executable, "-c", LEAVES, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        check_writable(tmp_path)
        (folder,) = tmp_path.iterdir()
        other.kill()
        other.wait()
        assert folder.exists()
    (tmp_path / ".tweakreg-notes").write_text("a file")
    check_writable(tmp_path)
    assert contents(tmp_path) == {".tweakreg-notes": "a file"}


@pytest.mark.parametrize(
    "options", [{"save_results": True}, {"save_results": True, "dry_run": True}, {"save_plots": True}]
)
def test_a_folder_that_cannot_be_written_to_is_found_first(scene_files, tmp_path, monkeypatch, options):
    monkeypatch.setattr("tweakreg.pipeline.run.measure", lambda *_: pytest.fail("it was found too late"))
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: tmp_path.readlink())
    with pytest.raises(OutputError, match=f"cannot write to {tmp_path}"):
        run(str(scene_files), output_dir=str(tmp_path), **options)


def test_sigterm_is_an_exception_and_then_again_what_it_was():
    with pytest.raises(process.Terminated) as ending, process.terminable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert ending.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("ending", "code"), [(KeyboardInterrupt, 130), (process.Terminated, 143)])
def test_the_command_says_with_its_exit_code_what_ended_it(monkeypatch, ending, code):
    def end(_):
        raise ending

    monkeypatch.setattr("tweakreg.corrections.file.read_correction", end)
    assert main(["correction", "show", "x.asdf"]) == code


def sleep(path):
    path.write_text(str(os.getpid()))
    time.sleep(60)


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_dead(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z"
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    files = [tmp_path / name for name in "abc"]
    parent = os.fork()
    if parent == 0:
        list(share_out(files, sleep, sleep, 3))
        os._exit(0)
    wait_for(lambda: all(path.exists() and path.read_text() for path in files))
    pids = {int(path.read_text()) for path in files}
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert len(pids) == 3
    wait_for(lambda: all(map(is_dead, pids)))


def test_nobody_waits_for_workers_after_an_error(tmp_path):
    def refuse(path):
        wait_for((tmp_path / "a").exists)
        raise OSError

    start = time.monotonic()
    with pytest.raises(OSError):
        list(share_out([tmp_path / name for name in "ab"], refuse, sleep, 2))
    assert time.monotonic() - start < 30
