"""What belongs to the whole process and not to a run: filters of warnings, unused objects, signals.

Several runs may go on in threads of one process; each of these is shared by them.
"""

from __future__ import annotations

import gc
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")

_filters = threading.RLock()
_frozen_lock = threading.Lock()
_n_frozen = 0


@contextmanager
def silenced(category: type[Warning] = Warning, message: str = "") -> Iterator[None]:
    """Without warnings of a kind.

    Python keeps one list of filters for all threads, and a thread that restores it would undo what another one did
    meanwhile: they take turns.

    Parameters
    ----------
    category : type of Warning
        Which warnings are not shown; those of its subclasses neither.
    message : str
        A regular expression for the beginning of their text; empty for any text.
    """
    with _filters, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message, category)
        yield


@contextmanager
def recorded() -> Iterator[list[warnings.WarningMessage]]:
    """Collect all warnings instead of showing them; gives the list to which they are added."""
    with _filters, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@contextmanager
def quick_collection() -> Iterator[None]:
    """Make Python look for unused objects among new ones only.

    Datamodels and figures hold themselves in cycles; looking through all that numpy, astropy and
    the rest have made, again and again, takes longer than opening an exposure or drawing it. What is frozen
    is thawed when the last of several runs is through.
    """
    global _n_frozen
    with _frozen_lock:
        _n_frozen += 1
        gc.freeze()
    try:
        yield
    finally:
        with _frozen_lock:
            _n_frozen -= 1
            if _n_frozen == 0:
                gc.unfreeze()


class Terminated(SystemExit):
    """SIGTERM; a process that does nothing about it ends with the shell's exit code for it, 143."""

    exit_status = 128 + signal.SIGTERM

    def __init__(self, message: str = "terminated") -> None:
        super().__init__(message)
        self.code = self.exit_status


@contextmanager
def terminable() -> Iterator[None]:
    """Make an exception of SIGTERM, so that what is half done is cleaned up as after Ctrl-C.

    Only in the main thread, and where nobody else listens to the signal. A second one does not disturb the cleaning.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Terminated


def within(seconds: float, ask: Callable[[], _Answer]) -> _Answer:
    """The answer, if it comes in time; the thread of a late one does not keep the process alive.

    Parameters
    ----------
    seconds : float
        How long to wait.
    ask : callable
        What is called, without arguments; what it raises is raised here.

    Raises
    ------
    TimeoutError
        It was not ready in time.
    """
    answers: list[_Answer] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if problems:
        raise problems[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return answers[0]
