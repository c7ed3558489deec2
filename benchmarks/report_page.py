"""The page about a run of many images: how large it is, what drawing it costs, and how fast a browser opens it."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
import warnings
from pathlib import Path

from tweakreg import TweakRegStep
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import write_scene


def seconds_to_open(page: Path) -> list[float]:
    """Seconds from asking for the page to its load event, three times, each in a new window."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for _ in range(3):
            window = browser.new_page()
            start = time.perf_counter()
            window.goto(page.as_uri(), wait_until="load")
            times.append(time.perf_counter() - start)
            window.close()
        browser.close()
    return times


def real_page(folder: Path) -> Path:
    """The page of the three real exposures of 47 Tuc, with the parameters that suit them."""
    warnings.simplefilter("ignore")  # of the old files
    data = Path(os.environ["TWEAKREG_REALDATA"]) / "hrc_47tuc"
    recommended = json.loads((data / "peer_result.json").read_text())["recommended"]
    TweakRegStep.call(
        str(data / "asn.json"), save_report=True, output_dir=str(folder), configure_log=False,
        **recommended["parameters_changed_from_default"],
    )  # fmt: skip
    return next(folder.glob("*_report.html"))


def tell(page: Path) -> None:
    """Print the size of a page and how long it takes to open."""
    print(f"size of the page          {page.stat().st_size / 1e6:.2f} MB")
    print("seconds to open           " + ", ".join(f"{value:.2f}" for value in seconds_to_open(page)))


def main() -> None:
    """Simulate, align without and with the page, and print a comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=400, help="pixels per side")
    parser.add_argument("--real", action="store_true", help="three real exposures, from TWEAKREG_REALDATA")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.real:
            tell(real_page(folder))
            return
        scene = make_scene(
            size=options.size, n_exposures=options.images // 2, n_visits=5, detectors=("NRCA1", "NRCA2"), n_stars=150,
            dither=2.0, blank=(7,), extra_errors=((3, 4.0, 0.0, 0.0),), seed=5,
        )  # fmt: skip
        association = write_scene(scene, folder)
        seconds = []
        for report in (False, True):
            start = time.process_time()
            TweakRegStep.call(
                association, abs_refcat=str(folder / "refcat.ecsv"), roundhi=0.6, save_report=report,
                output_dir=str(folder / "out"), configure_log=False,
            )  # fmt: skip
            seconds.append(time.process_time() - start)
        page = next((folder / "out").glob("*_report.html"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        print(f"{options.images} images of {options.size} x {options.size} pixels, two stages")
        without, with_page = (value / options.images for value in seconds)
        print(f"CPU per image             {without:.2f} s without, {with_page:.2f} s with")
        print(f"peak memory               {peak:.0f} MB")
        tell(page)


if __name__ == "__main__":
    main()
