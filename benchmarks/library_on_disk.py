"""CPU and peak memory of a whole run, in memory and on disk.

    python benchmarks/library_on_disk.py [--images 8 32] [--size 2048]

Each run is a process of its own, so that the peaks do not mix.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tweakreg import TweakRegStep
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import write_scene


def run_once(association: str, where: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        start = time.process_time()
        TweakRegStep.call(
            association, in_memory=where == "memory", save_results=True, output_dir=folder, configure_log=False
        )
        seconds = time.process_time() - start
        os.chdir("/")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"in {where:6} {seconds:7.1f} s CPU, peak {peak:6.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--size", type=int, default=2048)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = make_scene(size=options.size, n_exposures=max(options.images), n_stars=300, n_visits=2)
        everything = json.loads(write_scene(scene, folder).read_text())
        for number in options.images:
            members = everything["products"][0]["members"][:number]
            association = folder / f"{number}_asn.json"
            association.write_text(json.dumps({"products": [{"name": "some", "members": members}]}))
            for where in ("memory", "disk"):
                print(f"{number:3d} images ", end="", flush=True)
                subprocess.run([sys.executable, __file__, "--one", str(association), where], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_once(*sys.argv[2:])
    else:
        main()
