"""Sharing work out to several processes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import Connection
from typing import TypeVar

from tweakreg.errors import WorkerError
from tweakreg.process import silenced

#: Seconds that a worker without a parent is given to send a result.
_TIME_TO_SEND = 3.0

Task = TypeVar("Task")
Result = TypeVar("Result")


def share_out(
    tasks: Sequence[Task], here: Callable[[Task], Result], there: Callable[[Task], Result], workers: int
) -> Iterator[Result]:
    """Work on tasks in several processes, of which this is one.

    Parameters
    ----------
    tasks : sequence
        What is to be done.
    here, there : callable
        Turn a task into a result in this process, and in another; they must agree. A task and its
        result for `there`, and `there` itself, have to be picklable.
    workers : int
        Number of processes.

    Yields
    ------
    object
        Results in the order of the tasks.

    Raises
    ------
    WorkerError
        A process could not be started, or was killed.

    Notes
    -----
    This process works, too: one that cannot be forked takes two seconds to import what it needs.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from map(here, tasks)
        return
    waiting = deque(enumerate(tasks))
    running: dict[Future[Result], int] = {}
    results: dict[int, Result] = {}
    following = 0
    pool, leash = _pool(workers - 1)
    try:
        while waiting or running:
            # More than they can work on, so that they need not wait for this process; one is left for it.
            while len(running) < min(2 * (workers - 1), len(waiting)):
                index, task = waiting.popleft()
                running[pool.submit(_busily, there, task)] = index
            if waiting:
                index, task = waiting.popleft()
                results[index] = here(task)
                finished = {future for future in running if future.done()}
            else:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                results[running.pop(future)] = future.result()
            while following in results:
                yield results.pop(following)
                following += 1
    except BrokenExecutor as error:
        raise WorkerError(
            "a process that was to help came to its end. Is there too little memory, or is this a script that does not "
            "call the step under `if __name__ == '__main__':`? Set maximum_cores to none to do without it"
        ) from error
    except BaseException:
        leash.close()  # nobody waits for what they are at
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        leash.close()


def _pool(size: int) -> tuple[ProcessPoolExecutor, Connection]:
    """Processes, and what they are held by: they end where it is closed, and where this process is dead."""
    method = _start_method()
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["tweakreg.pipeline.measure"])
    end, leash = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(size, mp_context=context, initializer=_begin, initargs=(end, leash))
    # Python warns of threads of the BLAS, which know how to be forked; see below for the others.
    with silenced(DeprecationWarning, "This process .* is multi-threaded"):
        pool.submit(_busily, str, "")
    return pool, leash


def _start_method() -> str:
    """A forked process shares this one's memory and imports, but could lock up if a thread were at work here."""
    if sys.platform == "linux" and threading.active_count() == 1:
        return "fork"
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


#: Set while a worker works, and not while it sends what came of it.
_working = threading.Event()


def _begin(end: Connection, leash: Connection) -> None:
    """Interruptions and warnings are this process's parent's business; where that dies, it dies, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    leash.close()
    threading.Thread(target=_watch, args=(end,), daemon=True).start()


def _watch(end: Connection) -> None:
    parent = multiprocessing.parent_process()
    multiprocessing.connection.wait([end] if parent is None else [end, parent.sentinel])
    # Half a result would lock up the one who receives it, if there still is one.
    _working.wait(_TIME_TO_SEND)
    os._exit(1)


def _busily(work: Callable[[Task], Result], task: Task) -> Result:
    _working.set()
    try:
        return work(task)
    finally:
        _working.clear()
