"""A short run of benchmarks/fuzz.py: damaged files and absurd values end in errors of this package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from tweakreg.errors import CatalogError


@pytest.fixture(scope="module")
def fuzz():
    path = Path(__file__).parent.parent / "benchmarks" / "fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory by process")
def test_damaged_files_and_absurd_values(fuzz):
    cases = fuzz.run(300, seed=1)
    assert len(cases) == 300
    problems = [f"case {case.number}, {case.reader}: {case.problem}" for case in cases if case.problem]
    assert not problems, "\n".join(problems)


def test_what_is_wrong_is_reported(fuzz, monkeypatch):
    """An error of others, a message with escape codes, and a process that is killed; valid files are read."""
    monkeypatch.setattr(fuzz, "mutated", lambda content, rng: content)
    for reader in fuzz.readers().values():
        for wrong in ("p.json", "p.yaml"):  # no parameter file has these formats
            reader.files.pop(wrong, None)
        for seed in range(10):
            assert fuzz.run_file(reader, np.random.default_rng(seed), strict=True)

    def fail(folder, name):
        raise ZeroDivisionError

    def typed(folder, name):
        raise CatalogError(name, "fine")

    def end(folder, name):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)

    kinds = {key: fuzz.Reader(files={"a": b"a"}, read=read) for key, read in (("f", fail), ("t", typed), ("e", end))}
    found = [case.problem for case in fuzz.chunk(0, range(4), kinds)]
    assert "ZeroDivisionError" in found[0]
    assert found[1] == ""
    assert "SIGKILL" in found[2]
    assert "ZeroDivisionError" in found[3]
