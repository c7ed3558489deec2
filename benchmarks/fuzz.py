"""Damaged files and absurd values: does each end in an error of this package, in time and in memory?

    python benchmarks/fuzz.py 3000 [--seed 0] [--jobs 2] [--reader reference]

Small valid files of every kind that a user, or a server, gives are mutated: bytes are flipped, cut, inserted,
repeated, packed, put into another encoding, numbers become absurd. A case is known by its seed and number. Reported are
errors of others, more than 5 s of CPU, and more than 1 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import logging
import multiprocessing
import os
import re
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asdf
import numpy as np
from astropy.io import fits
from astropy.table import Table

from tweakreg.corrections.file import read_correction, write_correction
from tweakreg.corrections.record import Correction, Member
from tweakreg.errors import TweakRegError
from tweakreg.find.custom import read_catalog
from tweakreg.observatory.association import load_association
from tweakreg.observatory.catalogs import read_catfile
from tweakreg.observatory.exposure import ExposureState
from tweakreg.observatory.missions import opened
from tweakreg.parameters import checked, make_config
from tweakreg.plane import TangentPlane
from tweakreg.records import Affine
from tweakreg.reference.cache import cached
from tweakreg.reference.cone import Cone
from tweakreg.reference.file import read_reference
from tweakreg.reference.hats import read_cone
from tweakreg.reference.service import Patience, query_service
from tweakreg.simulate import make_scene
from tweakreg.simulate.models import make_model
from tweakreg.spec import DEFAULTS
from tweakreg.steppars import read_parameters, select
from tweakreg.tables import write_parquet

MOST_SECONDS, MOST_BYTES = 5.0, 1 << 30
#: A case that does not end is ended after so many seconds.
PATIENCE = 60.0
#: Cases that one process does before the next takes over.
CHUNK = 50

CONE = Cone(ra=80.0, dec=-69.0, radius=0.1)
STAR = {"meta.instrument.name": "NIRCAM", "meta.exposure.type": "NRC_IMAGE"}
NUMBERS = [b"1e308", b"-1e308", b"nan", b"inf", b"99999999999999999999", b"-1", b"0", b"1e-320", b"2147483648", b""]
VALUES: list[Any] = [
    None, True, -1, 0, 10**30, 10**400, -(10**5000), 1e300, -1e300, 5e-324, np.inf, np.nan, np.float32(2.0),
    np.int64(3), np.float64(1e300), np.bool_(True), np.array([1.0, 2.0]), np.array(3), np.str_("x"), "9" * 5000, "",
    "None", "\x1b[2J", "a\x00b", "1e999", Path("nowhere"), b"bytes", [], [1, 10**400], [np.nan, 1.0], {}, {"a": 1}, 1j,
    object(),
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What reads a kind of file.

    Attributes
    ----------
    files : dict of str to bytes
        Valid contents by name; one of them is mutated.
    read : callable
        Given a folder with these files, and the name of the one that was mutated.
    """

    files: dict[str, bytes]
    read: Callable[[Path, str], object]


def table(sky: bool) -> Table:
    """A few sources, or stars about the cone."""
    rng = np.random.default_rng(1)
    a, b = rng.uniform(-0.05, 0.05, (2, 12))
    names = ("ra", "dec") if sky else ("x", "y")
    values = (CONE.ra + a, CONE.dec + b) if sky else (1000.0 + 1e4 * a, 1000.0 + 1e4 * b)
    made = Table(dict(zip(names, values, strict=True)))
    made["ra_error" if sky else "flux"] = rng.uniform(1.0, 2.0, 12)
    made["dec_error" if sky else "weight"] = rng.uniform(1.0, 2.0, 12)
    if sky:
        made["pmra"], made["pmdec"], made["ref_epoch"] = 1.0, 2.0, 2016.0
        made["duplicated_source"] = [False] * 12
    return made


def written(made: Table, folder: Path) -> dict[str, bytes]:
    """A table in all formats."""
    formats = {
        "ecsv": "ascii.ecsv",
        "csv": "ascii.csv",
        "fits": "fits",
        "vot": "votable",
        "txt": "ascii.commented_header",
    }
    for ending, name in formats.items():
        made.write(folder / f"t.{ending}", format=name, overwrite=True)
    write_parquet(made, folder / "t.parquet")
    asdf.AsdfFile({"data": made}).write_to(folder / "t.asdf")
    if find_spec("h5py"):
        made.write(folder / "t.h5", path="t", overwrite=True)
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    text = header.tostring()
    text_table = fits.BinTableHDU.from_columns(
        [fits.Column("Field Header Card", f"{len(text)}A", array=[text])], name="LDAC_IMHEAD"
    )
    objects = fits.BinTableHDU(made, name="LDAC_OBJECTS")
    fits.HDUList([fits.PrimaryHDU(), text_table, objects]).writeto(folder / "t.cat", overwrite=True)
    return {path.name: path.read_bytes() for path in folder.glob("t.*")}


def correction(folder: Path) -> bytes:
    """A correction of one exposure."""
    scene = make_scene(size=64, n_stars=5, detectors=("NRCA1",), n_visits=1, seed=1)
    wcs = make_model(scene, scene.exposures[0], pixels=False).meta.wcs
    before = ExposureState(wcs=wcs, status="", result={})
    made = Correction(
        group="1",
        steps=((TangentPlane(ra=80.0, dec=-69.0), Affine(matrix=np.eye(2), shift=np.ones(2))),),
        members=(Member(name="a", detector="NRCA1", before=before, wcs_hash="0", corrected_hash="1"),),
    )
    write_correction(made, folder / "c.asdf")
    return (folder / "c.asdf").read_bytes()


def exposures(folder: Path) -> dict[str, bytes]:
    """An exposure without pixels, as FITS and ASDF."""
    scene = make_scene(size=64, n_stars=5, detectors=("NRCA1",), n_visits=1, seed=1)
    model = make_model(scene, scene.exposures[0], pixels=False)
    model.data = model.data[:4, :4]
    for name in ("e_cal.fits", "e_cal.asdf"):
        model.save(folder / name)
    return {path.name: path.read_bytes() for path in folder.glob("e_cal.*")}


def read_exposure(folder: Path, name: str) -> object:
    """Open it, and read what an alignment would change."""
    with opened(folder / name) as images:
        return [image.state() for image in images]


class Served(BaseHTTPRequestHandler):
    """Answers with the bytes of the case, head and all."""

    content = b""

    def do_GET(self) -> None:
        """Send them as they are."""
        with contextlib.suppress(OSError):
            self.wfile.write(self.content)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def ask_service(folder: Path, name: str) -> object:
    """Hold an answer of a server against the cone."""
    Served.content = (folder / name).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    os.environ["ASTROMETRIC_CATALOG_URL"] = f"http://127.0.0.1:{server.server_port}"
    try:
        return query_service("GAIADR3", CONE, Patience(timeout=3.0, retries=0))
    finally:
        server.shutdown()
        server.server_close()


def ask_cache(folder: Path, name: str) -> object:
    """Read a kept cone, or fetch it again."""
    (folder / name).rename(folder / "GAIADR3_80.000000_-69.000000_0.200000.parquet")
    return cached("GAIADR3", CONE, folder, lambda cone: table(sky=True))


def read_hats(folder: Path, name: str) -> object:
    """Put the files of a HATS catalog into their places, and read a cone."""
    place = folder / "dataset" / "Norder=0" / "Dir=0"
    place.mkdir(parents=True)
    (folder / "Npix=8.parquet").rename(place / "Npix=8.parquet")
    return read_cone(str(folder), CONE, 5.0)


def read_association(folder: Path, name: str) -> object:
    """Whichever file was mutated."""
    return load_association(folder / "a.json")


def rmap_read(folder: Path, name: str) -> object:
    """Choose a parameter file by its rules."""
    return select(STAR, folder)


def readers() -> dict[str, Reader]:
    """All of them; made once, in the parent."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        stars, sources = written(table(sky=True), folder), written(table(sky=False), folder)
        fitted, images = correction(folder), exposures(folder)
    members = [{"expname": "a_cal.fits", "exptype": "science", "tweakreg_catalog": "t.ecsv", "group_id": "1"}]
    association = json.dumps({"asn_type": "image3", "products": [{"name": "p", "members": members}]}).encode()
    csv = stars["t.csv"]
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n%s\r\n"
    packed = gzip.compress(csv, mtime=0)
    answers = {
        "plain": head % (len(csv), b"") + csv,
        "packed": head % (len(packed), b"Content-Encoding: gzip\r\n") + packed,
    }
    values = "searchrad: 2.0\n  kernel_fwhm: 2.5\n  brightest: 100\n  kron_params: [2.5, 1.4]\n  wcsname: abc\n"
    cfg = 'name = "t"\nclass = "tweakreg.TweakRegStep"\n' + values.replace(": ", " = ").replace("\n  ", "\n")
    parameters = (
        f"#ASDF 1.0.0\n#ASDF_STANDARD 1.5.0\n%YAML 1.1\n---\nclass: tweakreg.TweakRegStep\nparameters:\n  {values}...\n"
    )
    pars = {"p.asdf": parameters.encode(), "p.cfg": cfg.encode(), "p.json": association, "p.yaml": values.encode()}
    rules = files("tweakreg.pars") / "jwst_nircam_pars-tweakregstep.rmap"
    hats = {
        "hats.properties": b"#HATS catalog\nhats_col_ra=ra\nhats_col_dec=dec\nhats_npix_suffix=.parquet\n",
        "partition_info.csv": b"Norder,Npix\n0,8\n",
        "Npix=8.parquet": stars["t.parquet"],
    }
    return {
        "sources": Reader(files=sources, read=lambda folder, name: read_catalog(folder / name)),
        "reference": Reader(files=stars, read=lambda folder, name: read_reference(folder / name)),
        "association": Reader(files={"a.json": association, "a_cal.fits": b""}, read=read_association),
        "catfile": Reader(
            files={"c.txt": b"a_cal.fits a.ecsv\nb_cal.fits\n# c\n"},
            read=lambda folder, name: read_catfile(folder / name),
        ),
        "parameters": Reader(files=pars, read=lambda folder, name: read_parameters(folder / name, DEFAULTS)),
        "rmap": Reader(files={rules.name: rules.read_bytes()}, read=rmap_read),
        "correction": Reader(files={"c.asdf": fitted}, read=lambda folder, name: read_correction(folder / name)),
        "exposure": Reader(files=images, read=read_exposure),
        "service": Reader(files=answers, read=ask_service),
        "cache": Reader(files={"k.parquet": stars["t.parquet"]}, read=ask_cache),
        "hats": Reader(files=hats, read=read_hats),
    }  # fmt: skip


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One damage."""
    size = len(content)
    place, length = (int(rng.integers(0, size + 1)) for _ in range(2))
    part = content[place : place + min(length, 1 + size // 4)]
    kind = int(rng.integers(0, 12))
    if kind < 3:
        flipped = bytearray(content)
        for each in rng.integers(0, max(size, 1), int(rng.integers(1, 9))) if size else ():
            flipped[each] ^= 1 << int(rng.integers(0, 8))
        return bytes(flipped)
    if kind < 6:
        found = list(re.finditer(rb"-?\d+\.?\d*", content))
        if not found:
            return content
        hit = found[int(rng.integers(0, len(found)))]
        return content[: hit.start()] + NUMBERS[int(rng.integers(0, len(NUMBERS)))] + content[hit.end() :]
    return [
        lambda: content[:place],
        lambda: content[:place] + rng.bytes(int(rng.integers(1, 40))) + content[place:],
        lambda: content[:place] + part * int(rng.integers(2, 200)) + content[place:],
        lambda: content[:place] + content[place + len(part) :],
        lambda: content.decode("latin-1").encode("utf-16") if rng.random() < 0.5 else content.replace(b"a", b"\xe9"),
        lambda: (
            gzip.compress(content, mtime=0)
            if rng.random() < 0.5
            else content[:place] + b"\x1b[2J\x00" + content[place:]
        ),
    ][kind - 6]()  # fmt: skip


def run_value(rng: np.random.Generator) -> str:
    """Hand an absurd value, or two, to the parameters; gives which."""
    names = list(DEFAULTS)
    given = {
        names[int(rng.integers(0, len(names)))]: VALUES[int(rng.integers(0, len(VALUES)))]
        for _ in range(int(rng.integers(1, 3)))
    }
    with contextlib.suppress(TweakRegError):
        make_config({**DEFAULTS, **checked(given)})
    return ", ".join(f"{name}={type(value).__name__}" for name, value in given.items())


def run_file(reader: Reader, rng: np.random.Generator, *, strict: bool = False) -> str:
    """Read one damaged file, of which a strict run lets no error pass; gives which."""
    files = dict(reader.files)
    name = sorted(files)[int(rng.integers(0, len(files)))]
    for _ in range(int(rng.integers(1, 4))):
        files[name] = mutated(files[name], rng)
    with tempfile.TemporaryDirectory() as made:
        for each, content in files.items():
            (Path(made) / each).write_bytes(content)
        try:
            reader.read(Path(made), name)
        except TweakRegError as error:
            if strict:
                raise
            if not str(error).replace("\n", "").isprintable():
                raise ValueError("the message could steer a terminal") from error
        except Exception as error:
            error.add_note(f"file {name}")
            raise
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one case came to.

    Attributes
    ----------
    number : int
        With the seed it says everything about it.
    reader : str
        Which one.
    problem : str
        Empty if all is well.
    """

    number: int
    reader: str
    problem: str


def peak() -> int:
    """Most memory of this process since the last call, bytes; 0 where the kernel does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return int(re.findall(r"VmHWM:\s*(\d+)", status)[0]) << 10
    except (OSError, IndexError):
        return 0


def run_case(seed: int, number: int, kinds: dict[str, Reader | None]) -> Case:
    """One case in this process."""
    name = list(kinds)[number % len(kinds)]
    rng = np.random.default_rng((seed, number))
    reader = kinds[name]
    peak()
    before, started, problem = peak(), time.process_time(), ""
    try:
        if reader is None:
            run_value(rng)
        else:
            run_file(reader, rng)
    except Exception as error:
        problem = "".join(traceback.format_exception(error)[-12:])
    seconds, size = time.process_time() - started, peak() - before
    if seconds > MOST_SECONDS:
        problem += f"{seconds:.1f} s of CPU"
    if size > MOST_BYTES:
        problem += f"{size >> 20} MB"
    return Case(number=number, reader=name, problem=problem)


def _work(seed: int, numbers: range, kinds: dict[str, Reader | None], pipe: Any) -> None:
    """A process: some cases, and no more memory than three times the limit, so that the machine lives on."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with contextlib.suppress(ValueError, OSError):
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + 3 * MOST_BYTES,) * 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C write there
    for number in numbers:
        pipe.send(run_case(seed, number, kinds))


def chunk(seed: int, numbers: range, kinds: dict[str, Reader | None]) -> Iterator[Case]:
    """Some cases in a process of their own; the next process goes on after one that was killed."""
    context = multiprocessing.get_context("fork")
    while len(numbers):
        pipe, end = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(seed, numbers, kinds, end), daemon=True)
        worker.start()
        end.close()
        problem = ""
        while len(numbers) and not problem:
            try:
                problem = "" if pipe.poll(PATIENCE) else f"no end within {PATIENCE:.0f} s"
                case = None if problem else pipe.recv()
            except EOFError:
                worker.join()
                problem, case = f"the process was ended by {signal.Signals(-(worker.exitcode or -9)).name}", None
            name = list(kinds)[numbers[0] % len(kinds)]
            yield case or Case(number=numbers[0], reader=name, problem=problem)
            numbers = numbers[1:]
        worker.kill()
        worker.join()


def run(number: int, seed: int = 0, jobs: int = 1, only: str = "") -> list[Case]:
    """Cases of all readers in turn.

    Parameters
    ----------
    number : int
        Of cases.
    seed : int
        Of all of them.
    jobs : int
        Processes at a time.
    only : str
        One reader; empty for all.
    """
    kinds: dict[str, Reader | None] = {**readers(), "values": None}
    if only:
        kinds = {only: kinds[only]}
    chunks = [range(first, min(first + CHUNK, number)) for first in range(0, number, CHUNK)]
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda numbers: list(chunk(seed, numbers, kinds)), chunks)
    return [case for cases in found for case in cases]


def main() -> int:
    """Run, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--reader", default="")
    options = parser.parse_args()
    cases = run(options.number, options.seed, options.jobs, options.reader)
    bad = [case for case in cases if case.problem]
    for case in bad:
        print(f"--- seed {options.seed}, case {case.number}, {case.reader}\n{case.problem}\n")
    total, wrong = Counter(case.reader for case in cases), Counter(case.reader for case in bad)
    for name, count in total.items():
        print(f"{name:12} {count:6} cases, {wrong[name]:4} with a problem")
    return min(len(bad), 1)


if __name__ == "__main__":
    sys.exit(main())
