"""Cost by phase and accuracy, beside the JWST step in the same run.

    tox run -e benchmark [-- cost|accuracy] [--images 2 8 32] [--size 2048]

Every run is a process of its own, warmed up on a small scene; packages take turns. Without jwst only ours is run.
CPU includes that of further processes. Time belongs to the innermost phase; the rest is "other".
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.util
import json
import logging
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import asdf
import numpy as np
import psutil

from tweakreg.simulate import make_scene, score
from tweakreg.simulate.models import write_scene

STEPS = {"tweakreg": "tweakreg:TweakRegStep", "jwst": "jwst.tweakreg:TweakRegStep"}

#: What is timed: module, attribute within it. A name that a package does not have is passed over.
PHASES = {
    "open": [
        ("stdatamodels.jwst.datamodels", "open"),
        ("stdatamodels.jwst.datamodels", "read_metadata"),
        ("stdatamodels.jwst.datamodels.util", "open"),
        ("stdatamodels.jwst.datamodels.util", "read_metadata"),
        ("jwst.datamodels.library", "datamodels_open"),
        ("jwst.datamodels.library", "read_metadata"),
        ("astropy.io.fits.hdu.image", "_ImageBaseHDU._get_scaled_image_data"),
        ("astropy.io.fits.hdu.image", "_ImageBaseHDU._scale_internal"),
    ],
    "background": [
        ("tweakreg.find.finders", "subtract_background"),
        ("photutils.background", "Background2D.__init__"),
        ("photutils.background", "Background2D._calculate_image"),
    ],
    "finding": [
        ("tweakreg.pipeline.measure", "find_sources"),
        ("jwst.tweakreg.tweakreg_step", "make_tweakreg_catalog"),
    ],
    "alignment": [
        ("tweakreg.pipeline.run", "align_exposures"),
        ("tweakreg.observatory.jwst", "JwstImage.correct"),
        ("stcal.tweakreg.tweakreg", "relative_align"),
        ("stcal.tweakreg.tweakreg", "absolute_align"),
        ("jwst.tweakreg.tweakreg_step", "update_s_region_imaging"),
    ],
    "SIP": [
        ("tweakreg.observatory.jwst", "JwstImage.update_sip"),
        ("jwst.tweakreg.tweakreg_step", "update_fits_wcsinfo"),
    ],
    "save": [("stdatamodels.model_base", "DataModel.save"), ("shutil", "copyfile")],
}


class Stopwatch:
    """CPU seconds by phase; a phase inside another is not counted twice."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._stack: list[str] = []
        self._last = time.process_time()

    def _lap(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1] if self._stack else "other"] += now - self._last
        self._last = now

    def timed(self, function, phase):
        @functools.wraps(function)
        def call(*args, **kwargs):
            self._lap()
            self._stack.append(phase)
            try:
                return function(*args, **kwargs)
            finally:
                self._lap()
                self._stack.pop()

        return call

    def watch_everything(self) -> None:
        for phase, places in PHASES.items():
            for module_name, path in places:
                *outer, name = path.split(".")
                module = sys.modules.get(module_name)
                holder = functools.reduce(lambda thing, part: getattr(thing, part, None), outer, module)
                if holder is not None and hasattr(holder, name):
                    setattr(holder, name, self.timed(getattr(holder, name), phase))
        self._last = time.process_time()


def child(package: str, association: str, warm_up: str, parameters: dict) -> dict:
    """Run one step and say what it cost and how good it was."""
    warnings.simplefilter("ignore")
    module, name = STEPS[package].split(":")
    step = getattr(importlib.import_module(module), name)
    counts: list[int] = []

    class Count(logging.Handler):
        def emit(self, record):
            if found := re.search(r"Detected (\d+) sources|: (\d+) sources found", record.getMessage()):
                counts.append(int(found[1] or found[2]))

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        options = {"configure_log": False, "save_results": True, "output_dir": folder}
        step.call(warm_up, **options)
        for each in ("tweakreg", "jwst"):
            logging.getLogger(each).addHandler(Count())
            logging.getLogger(each).setLevel(logging.INFO)
        watch = Stopwatch()
        watch.watch_everything()
        measuring = clock_measure() if package == "tweakreg" else []
        start, wall = time.process_time(), time.perf_counter()
        library = step.call(association, **options, **parameters)
        cpu, wall = time.process_time() - start, time.perf_counter() - wall
        watch._lap()
        wcs, complete = {}, 0
        with library:
            for index, model in enumerate(library):
                wcs[re.sub(r"_(tweakreg|tweakregstep)\.fits", "_cal.fits", model.meta.filename)] = model.meta.wcs
                complete += model.meta.cal_step.tweakreg == "COMPLETE"
                library.shelve(model, index, modify=False)
        with asdf.open(Path(association).with_name("truth.asdf")) as file:
            truth = file["truth"]
            result = score(wcs, truth, size=library_size(association))
        del library
        os.chdir("/")
    return {
        "cpu": cpu,
        "wall": wall,
        "phases": dict(watch.seconds),
        "measuring": sum(measuring),
        "sources": sum(counts),
        "complete": complete,
        "images": len(wcs),
        "relative": float(np.sqrt(np.mean(result.relative**2))),
        "absolute": float(np.median(result.absolute)),
    }


def clock_measure() -> list[float]:
    """Wall-clock seconds from the first file to the last catalog, which is what further processes shorten."""
    from tweakreg.pipeline import run

    laps, measure = [], run.measure

    def clocked(*args):
        start = time.perf_counter()
        result = measure(*args)
        laps.append(time.perf_counter() - start)
        return result

    run.measure = clocked
    return laps


def library_size(association: str) -> int:
    return int(json.loads(Path(association).read_text())["size"])


def run(package: str, association: Path, warm_up: Path, **parameters) -> dict:
    question = json.dumps([package, str(association), str(warm_up), parameters])
    environment = os.environ | {"STPIPE_DISABLE_CRDS_STEPPARS": "true"}
    command = [sys.executable, __file__, "--child", question]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        peak, helpers = watch_processes(process)
        output = process.communicate()[0]
        if process.returncode:
            errors.seek(0)
            raise SystemExit(f"{package} failed:\n{errors.read()[-2000:]}")
    result = json.loads(output.splitlines()[-1])
    return result | {"peak": peak, "cpu": result["cpu"] + helpers}


def watch_processes(process: subprocess.Popen) -> tuple[float, float]:
    """Peak memory, MB, of a process and all that it starts, shared pages counted once; CPU seconds of the latter."""
    peak, seconds = 0.0, {}
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            total = 0.0
            for each in [parent, *parent.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += each.memory_full_info().pss / 2**20
                    times = each.cpu_times()
                    if each != parent:
                        seconds[each.pid] = times.user + times.system
            peak = max(peak, total)
            time.sleep(0.05)
    return peak, sum(seconds.values())


def write(folder: Path, numbers: list[int] | None = None, **settings) -> list[Path]:
    """A scene on disk, as associations of its first exposures."""
    folder.mkdir()
    everything = json.loads(write_scene(make_scene(**settings), folder).read_text())
    members = everything["products"][0]["members"]
    paths = []
    for number in numbers or [len(members)]:
        path = folder / f"{number}_asn.json"
        shortened = everything | {
            "products": [{"name": "some", "members": members[:number]}],
            "size": settings["size"],
        }
        path.write_text(json.dumps(shortened))
        paths.append(path)
    return paths


def cost(folder: Path, packages: list[str], images: list[int], size: int, warm_up: Path) -> None:
    print(f"\nCost of images of {size} x {size} pixels with 300 stars, per image; ratio to jwst in brackets\n")
    associations = write(folder / "cost", images, size=size, n_exposures=max(images), n_stars=300, n_visits=2)
    names = [*PHASES, "other"]
    print(
        f"{'':34}{'CPU s':>14}{'wall s':>8}{'peak MB':>9}{'sources':>9}  "
        + "".join(f"{name:>16}" for name in names)
        + "  speed-up of measuring"
    )
    for number, association in zip(images, associations, strict=True):
        for where in ("memory", "disk"):
            base, one_process = None, 0.0
            for package, cores in [(package, "none") for package in reversed(packages)] + [("tweakreg", "2")]:
                parameters = {"in_memory": where == "memory"}
                if cores != "none":
                    if number == 1:
                        continue
                    parameters["maximum_cores"] = cores
                result = run(package, association, warm_up, **parameters)
                base = base or result

                def cell(value: float, other: float, width: int) -> str:
                    return f"{value:{width - 7}.3f} ({value / other:4.2f})" if other else f"{value:{width}.3f}"

                label = f"{number:3d} in {where:6} {package}" + ("" if cores == "none" else f", {cores} processes")
                line = f"{label:34}{cell(result['cpu'] / number, base['cpu'] / number, 14)}"
                line += f"{result['wall'] / number:8.2f}{result['peak']:9.0f}{result['sources'] / number:9.0f}  "
                for name in names:
                    line += cell(*(each["phases"].get(name, 0.0) / number for each in (result, base)), 16)
                if package == "tweakreg":
                    one_process = result["measuring"] if cores == "none" else one_process
                    line += f"{one_process / result['measuring']:10.2f}"
                print(line, flush=True)


ACCURACY = {
    "4 exp x 1 det": {"n_exposures": 4, "n_stars": 300},
    "8 exp x 4 det": {"n_exposures": 8, "n_stars": 300, "detectors": ("NRCA1", "NRCA2", "NRCA3", "NRCA4")},
    "8 x 4, 5000 stars/det": {"n_exposures": 8, "n_stars": 5000, "detectors": ("NRCA1", "NRCA2", "NRCA3", "NRCA4")},
    "8 x 1, 30 stars/det": {"n_exposures": 8, "n_stars": 30},
    "40 x 1": {"n_exposures": 40, "n_stars": 300},
    "4 x 1, FWHM 1 px": {"n_exposures": 4, "n_stars": 300, "fwhm": 1.0},
}


def accuracy(folder: Path, packages: list[str], size: int, warm_up: Path, names: list[str]) -> None:
    print(f"\nErrors against the truth, mas, and images COMPLETE, in fields of {size} x {size} pixels\n")
    header = "".join(f"{package + ' ' + what:>22}" for what in ("relative", "absolute") for package in packages)
    print(f"{'':24}{header}")
    for name in names:
        (association,) = write(folder / re.sub(r"\W+", "_", name), size=size, n_visits=2, seed=1, **ACCURACY[name])
        refcat = str(association.with_name("refcat.ecsv"))
        line = f"{name:24}"
        for what, parameters in (("relative", {}), ("absolute", {"abs_refcat": refcat})):
            # The width of the stars, as a parameter reference file gives it.
            parameters["kernel_fwhm"] = ACCURACY[name].get("fwhm", 2.0)
            for package in packages:
                result = run(package, association, warm_up, in_memory=False, **parameters)
                line += f"{result[what]:10.3f} {result['complete']:4d}/{result['images']:<4d}  "
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["cost", "accuracy", "all"], default="all")
    parser.add_argument("--images", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--cases", nargs="+", choices=ACCURACY, default=list(ACCURACY))
    options = parser.parse_args()
    packages = ["tweakreg", *(["jwst"] if importlib.util.find_spec("jwst") else [])]
    shown = [*packages, "photutils", "stcal", "numpy", "scipy", "astropy"]
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in shown))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (warm_up,) = write(folder / "warm", size=256, n_exposures=2, n_stars=150)
        if options.what != "accuracy":
            cost(folder, packages, options.images, options.size, warm_up)
        if options.what != "cost":
            accuracy(folder, packages, options.size, warm_up, options.cases)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(*json.loads(sys.argv[2]))))
    else:
        main()
