"""Work shared out to processes gives what one process gives."""

import os
import pickle
import signal
import time
from functools import partial

import numpy as np
import pytest

from helpers import FIND, look, run, statuses, write_association
from tweakreg import errors
from tweakreg.errors import InputError, ParameterError, WorkerError
from tweakreg.parameters import make_config
from tweakreg.step import TweakRegStep
from tweakreg.workers import share_out


def square(number, pause=0.0):
    time.sleep(pause)
    return number**2, os.getpid()


def refuse(number):
    raise InputError(f"{number}.fits", "is refused")


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("n_tasks", [0, 1, 7, 40])
def test_results_come_in_order(workers, n_tasks):
    results = list(share_out(range(n_tasks), square, partial(square, pause=0.001), workers))
    assert [value for value, _ in results] == [number**2 for number in range(n_tasks)]
    if n_tasks > workers > 1:
        assert len({process for _, process in results}) > 1


def test_an_error_of_another_process_is_that_error():
    with pytest.raises(InputError, match=r"\d\.fits: is refused") as raised:
        list(share_out(range(4), partial(square, pause=0.5), refuse, 2))
    assert raised.value.problem == "is refused"


def test_a_process_that_is_killed():
    with pytest.raises(WorkerError, match="maximum_cores to none"):
        list(share_out(range(4), partial(square, pause=0.5), die, 2))


def every_error():
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]


@pytest.mark.parametrize("kind", sorted(every_error(), key=str))
def test_errors_can_be_sent(kind):
    made = {errors.ParameterError: ("x", 1, "y"), errors.SingularFitError: ("shift", 1, 0.0)}.get(kind)
    made = kind(*made) if made else kind("a", "b") if issubclass(kind, InputError) else kind("a")
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is kind
    assert (str(again), vars(again)) == (str(made), vars(made))


def test_a_run_with_two_processes_is_the_same_run(scene_files, tmp_path, caplog):
    outputs = []
    for cores in ("none", "2"):
        caplog.clear()
        caplog.set_level("INFO", logger="tweakreg")
        library = run(str(scene_files), maximum_cores=cores, save_catalogs=True, output_dir=str(tmp_path), **FIND)
        lines = [record.getMessage() for record in caplog.records if record.name == "tweakreg.pipeline.measure"]
        catalogs = {path.name: path.read_text() for path in tmp_path.glob("*_cat.ecsv")}
        corrected = look(library, lambda model: np.ravel(model.meta.wcs(10.0, 20.0)).tolist())
        outputs.append((statuses(library), lines, catalogs, corrected))
    assert outputs[0] == outputs[1]
    assert len(outputs[0][2]) == 8


def test_a_broken_file_among_many(scene_files, tmp_path):
    good = sorted(scene_files.parent.glob("*_cal.fits"))
    (tmp_path / "broken_cal.fits").write_bytes(b"no FITS file")
    members = [{"expname": str(path), "exptype": "science", "group_id": str(i)} for i, path in enumerate(good)]
    members.append({"expname": "broken_cal.fits", "exptype": "science", "group_id": "x"})
    asn = write_association(tmp_path / "asn.json", members)
    with pytest.raises(InputError, match=r"broken_cal\.fits: cannot be opened as a datamodel"):
        run(str(asn), maximum_cores=2, **FIND)


@pytest.mark.parametrize(
    ("value", "cores", "workers"),
    [
        ("none", 8, 1),
        ("quarter", 8, 2),
        ("quarter", 2, 1),
        ("half", 8, 4),
        ("all", 8, 8),
        ("3", 8, 3),
        (5, 8, 5),
        ("99", 8, 8),
        (None, 8, 1),
    ],
)
def test_maximum_cores(monkeypatch, value, cores, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert make_config(TweakRegStep(maximum_cores=value).get_pars()).workers == workers


@pytest.mark.parametrize("value", ["0", "-1", "some", "1.5"])
def test_maximum_cores_that_are_none(value):
    with pytest.raises(ParameterError, match=r"maximum_cores.*none, quarter, half, all or a number"):
        make_config(TweakRegStep(maximum_cores=value).get_pars())
