"""What a person sees of a run while it goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from tweakreg.errors import logger
from tweakreg.process import silenced

log = logger(__name__)


@contextmanager
def progress(total: int, what: str, unit: str = "image") -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; elsewhere the log lines show the progress. An interruption says how far it came.

    Gives a function to be called after each item.

    Parameters
    ----------
    total : int
        How many items there will be.
    what : str
        The phase of the run.
    unit : str
        What an item is.
    """
    from tqdm import tqdm

    with silenced():  # in a notebook it asks for widgets, which are not used
        from tqdm.contrib.logging import logging_redirect_tqdm

    # Where the lines go to the terminal, and nowhere else: the redirection adds a handler where there is none.
    known = (logging.root, *(logging.getLogger(name) for name in ("tweakreg", "stpipe")))
    loggers = [each for each in known if any(_is_console(handler) for handler in each.handlers)]
    done = 0

    class Bar(tqdm):  # type: ignore[misc]
        monitor_interval = 0  # its thread would be in the way of a fork

    bar = Bar(total=total, desc=what, unit=unit, disable=None, leave=False)

    def count() -> None:
        nonlocal done
        done += 1
        bar.update()

    try:
        with bar, nullcontext() if bar.disable else logging_redirect_tqdm(loggers):
            yield count
    except KeyboardInterrupt:
        log.warning("interrupted in %s, after %d of %d %ss", what, done, total, unit)
        raise


def _is_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)
