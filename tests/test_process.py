"""What belongs to the whole process is left as it was by threads."""

from __future__ import annotations

import gc
import threading
import warnings
from pathlib import Path

from tweakreg import process
from tweakreg.errors import logger


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


def test_no_log_line_has_codes_for_a_terminal(caplog):
    """Names of files and products may hold them; every module has its logger from where they are spelled out."""
    logger("tweakreg.somewhere").warning("%s: %d of %.1f", Path("a\x1b[2J.fits"), 1, 2.0)
    assert caplog.messages == ["a\\x1b[2J.fits: 1 of 2.0"]
    for path in Path(process.__file__).parent.rglob("*.py"):
        assert path.name == "errors.py" or "= logging.getLogger" not in path.read_text(encoding="utf-8")
