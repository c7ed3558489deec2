"""Simulate, align with ``strun`` as a user would, and compare with the truth."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import asdf
import numpy as np

from tweakreg.errors import InputError, OutputError
from tweakreg.observatory.missions import images_of, open_model
from tweakreg.observatory.names import bare_name
from tweakreg.simulate.hst import write_hst_scene
from tweakreg.simulate.models import write_roman_scene, write_scene
from tweakreg.simulate.picture import exposures
from tweakreg.simulate.scene import Scene, make_scene
from tweakreg.simulate.score import Score, score

#: What the detectors of missions are like, but for JWST's, which are the default; stars in pixels.
_LIKE: dict[str, dict[str, Any]] = {
    "jwst": {},
    "roman": {"pixel_scale": 0.11, "fwhm": 1.3, "aberration": True},
    "hst": {"pixel_scale": 0.05, "fwhm": 2.0},
}


def run_demo(
    directory: Path, size: int, n_exposures: int, seed: int, plot: Path | None, *, mission: str = "jwst"
) -> int:
    """Run the demo and print a table.

    Parameters
    ----------
    directory : Path
        New or empty folder.
    size : int
        Pixels per side of a detector.
    n_exposures, seed : int
        Number of exposures, and seed of the random numbers.
    plot : Path or None
        Where to draw the errors.
    mission : str
        'jwst', 'roman' or 'hst'.

    Returns
    -------
    int
        Exit code of ``strun``.

    Raises
    ------
    OutputError
        The folder has something in it.
    """
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"{directory} is a file: name a folder")
    if directory.exists() and any(directory.iterdir()):
        raise OutputError(f"{directory} is not empty: name another folder")
    if size < 128:
        raise InputError("--size", "the demo needs at least 128 pixels per side")
    if n_exposures < 2 or seed < 0:
        raise InputError("--exposures, --seed", "the demo needs at least 2 exposures and a seed that is not negative")
    if plot is not None and plot.suffix.lower() not in {".png", ".pdf", ".svg"}:
        raise InputError(plot, "the picture can be .png, .pdf or .svg")
    like: dict[str, Any] = {"n_exposures": n_exposures, "n_visits": 2, "detectors": ("NRCA1", "NRCA2"), "seed": seed}
    scene = make_scene(size=size, **like, **_LIKE[mission])
    print(f"Simulating {len(scene.exposures)} images of {size} × {size} pixels in {directory} ...", flush=True)
    inputs = _write(scene, directory, mission)
    command = ["strun", "tweakreg.TweakRegStep", *inputs, "--abs_refcat=refcat.ecsv"]
    print("$ " + shlex.join(command), flush=True)
    command[0] = str(Path(sys.executable).with_name("strun"))
    with (directory / "strun.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        print(f"strun ended with exit code {done.returncode}; see {directory / 'strun.log'}")
        return done.returncode
    print_comparison(directory, size)
    if plot is not None:
        plot_comparison(directory, size, plot)
        print(f"Wrote {plot}")
    return 0


def _write(scene: Scene, directory: Path, mission: str) -> list[str]:
    """Write the exposures; gives what strun is told of them."""
    if mission == "hst":
        write_hst_scene(scene, directory)
        return ["*_flc.fits", "--output_dir=aligned"]
    if mission == "roman":
        write_roman_scene(scene, directory)
        return ["*_cal.asdf"]
    return [write_scene(scene, directory).name]


def compare(directory: Path, size: int) -> tuple[Score, Score, list[str]]:
    """Scores before and after, and the status of each exposure in a demo's folder."""
    with asdf.open(directory / "truth.asdf") as file:
        truth = {bare_name(name): wcs for name, wcs in file["truth"].items()}
        before, after = map(_found, exposures(directory))
        scores = [score({name: each[name][0] for name in truth}, truth, size) for each in (before, after)]
        return scores[0], scores[1], [after[name][1] for name in truth]


def _found(paths: list[Path]) -> dict[str, tuple[Any, str]]:
    """WCS and status of each image in the files, by the name that it had before."""
    found = {}
    for path in paths:
        with open_model(path) as model:
            for image in images_of(model, path):
                status = image.state().status

                def wcs(x: Any, y: Any, with_bounding_box: bool = False, image: Any = image) -> Any:
                    return image.sky(x, y)

                found[image.name.replace("_tweakreg", "_cal")] = wcs, status
    return found


def print_comparison(directory: Path, size: int) -> None:
    """Print a table of errors, mas."""
    before, after, statuses = compare(directory, size)
    width = max(map(len, before.names))
    print(f"\n{'error of the WCS, mas':{width}}   absolute           relative")
    print(f"{'exposure':{width}}   before    after    before    after   status")
    rows = zip(before.names, before.absolute, after.absolute, before.relative, after.relative, statuses, strict=True)
    for name, a, b, c, d, status in rows:
        print(f"{name:{width}} {a:8.2f} {b:8.3f}  {c:8.2f} {d:8.3f}   {status}")
    medians = [np.median(each) for each in (before.absolute, after.absolute, before.relative, after.relative)]
    print(f"{'median':{width}} {medians[0]:8.2f} {medians[1]:8.3f}  {medians[2]:8.2f} {medians[3]:8.3f}")


def plot_comparison(directory: Path, size: int, path: Path) -> None:
    """Draw one star in all exposures, at the places where the WCS before and after put its pixels.

    Raises
    ------
    InputError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(path, "drawing needs matplotlib: pip install 'tweakreg[plot]'") from error
    from tweakreg.simulate.picture import draw_before_after

    figure = Figure(figsize=(8, 4), layout="constrained")
    draw_before_after(figure, directory, size)
    figure.savefig(path, dpi=100)
