"""HATS catalogs: cones, partitions, URLs."""

from __future__ import annotations

import os
import threading
import time
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from catalogs import stars, write_hats
from tweakreg.errors import CatalogError, ServiceError
from tweakreg.plane import TangentPlane, separation
from tweakreg.reference import hats
from tweakreg.reference.cone import Cone
from tweakreg.reference.hats import read_cone

HERE = Cone(ra=10.0, dec=20.0, radius=0.1)


def read_bytes():
    """What this process has asked the kernel to read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split(": ")[1] for line in lines if line.startswith("rchar")))


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """A HATS catalog of a million stars in 200 square degrees."""
    rng = np.random.default_rng(0)
    number = 1_000_000
    table = Table({"ra": rng.uniform(100.0, 114.0, number), "dec": rng.uniform(-7.0, 7.0, number)})
    for name in ("ra_error", "dec_error", "pmra", "pmdec", "unused_one", "unused_two", "unused_three"):
        table[name] = rng.normal(size=number)
    table["ref_epoch"] = 2016.0
    folder = tmp_path_factory.mktemp("million")
    write_hats(table, folder, order=4)
    return folder, table


def test_a_small_cone_of_a_million_stars(million):
    folder, table = million
    cone = Cone(ra=107.0, dec=1.0, radius=0.1)
    read_cone(str(folder), cone, 10.0)  # what is imported once does not count
    bytes_before, start = read_bytes(), time.process_time()
    found = read_cone(str(folder), cone, 10.0)
    seconds, size = time.process_time() - start, read_bytes() - bytes_before
    near = separation(cone.ra, cone.dec, table["ra"], table["dec"]) <= 360.0
    assert sorted(found["ra"]) == sorted(table["ra"][near])
    assert not {"unused_one", "_healpix_29"} & set(found.colnames)
    partitions = list(folder.rglob("*.parquet"))
    largest = max(path.stat().st_size for path in partitions)
    assert len(partitions) > 15
    assert size < 2.0 * largest
    print(f"{size} bytes of {sum(path.stat().st_size for path in partitions)}, {seconds:.3f} s of CPU")


def test_the_layout_in_the_field(real_data):
    """The collection and the catalog in it; a cone is what all stars say."""
    place = real_data / "hats_small_sky" / "tests" / "data" / "small_sky_order1_collection"
    everything = read_cone(str(place), Cone(ra=0.0, dec=0.0, radius=180.0), 10.0)
    assert len(everything) == 131
    cone = Cone(ra=320.0, dec=-45.0, radius=12.0)
    found = read_cone(str(place / "small_sky_order1"), cone, 10.0)
    near = separation(cone.ra, cone.dec, everything["ra"], everything["dec"]) <= 12.0 * 3600.0
    assert 0 < len(found) == near.sum() < 131


@pytest.mark.parametrize("order", [3, 5, 7])
def test_no_pixel_of_a_cone_is_missed(order):
    """Points in random cones all over the sky lie in one of the pixels that are read."""
    from astropy_healpix import HEALPix

    rng = np.random.default_rng(order)
    healpix = HEALPix(nside=2**order, order="nested")
    for _ in range(300):
        cone = Cone(
            ra=rng.uniform(0, 360), dec=np.degrees(np.arcsin(rng.uniform(-1, 1))), radius=10 ** rng.uniform(-2, 0.5)
        )
        place = cone.radius * 3600.0 * np.sqrt(rng.uniform(size=(200, 1))) * unit_circle(rng, 200)
        ra, dec = TangentPlane(ra=cone.ra, dec=cone.dec).deproject(place)
        inside = separation(cone.ra, cone.dec, ra, dec) <= cone.radius * 3600.0
        needed = healpix.lonlat_to_healpix(ra[inside] * u.deg, dec[inside] * u.deg)
        assert np.isin(needed, hats._pixels(order, cone)).all()
        partitions = np.unique(np.column_stack([np.full(len(needed), order), needed]), axis=0)
        assert len(hats._touched(partitions, cone)) == len(partitions)


def unit_circle(rng, number):
    angle = rng.uniform(0.0, 2.0 * np.pi, number)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_a_folder_that_is_no_catalog(tmp_path):
    with pytest.raises(CatalogError, match=r"no hats\.properties"):
        read_cone(str(tmp_path), HERE, 1.0)
    write_hats(stars(), tmp_path, order=1)
    (tmp_path / "partition_info.csv").unlink()
    with pytest.raises(CatalogError, match=r"no partition_info\.csv"):
        read_cone(str(tmp_path), HERE, 1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Norder,Npix\n30,0\n", "orders in its partition_info.csv must be whole numbers from 0 to 29"),
        ("Norder,Npix\n-1,0\n", "orders"),
        ("Norder,Npix\n1.5,0\n", "orders"),
        ("Norder,Npix\n1,48\n", "pixels that are not on the sky"),
        ("Norder,Npix\n1,-3\n", "pixels that are not on the sky"),
        ("a,b\n1,2\n", "has no partition_info"),
        ("", "has no partition_info"),
    ],
)
def test_partitions_that_cannot_be(tmp_path, content, message):
    (tmp_path / "hats.properties").write_text("a=b\n")
    (tmp_path / "partition_info.csv").write_text(content)
    with pytest.raises(CatalogError, match=message):
        read_cone(str(tmp_path), HERE, 1.0)


def test_tiny_partitions_cost_nothing(tmp_path):
    """Of the finest order a cone has more pixels than fit into any memory."""
    (tmp_path / "hats.properties").write_text("a=b\n")
    (tmp_path / "partition_info.csv").write_text("Norder,Npix\n18,0\n29,5\n")
    assert len(read_cone(str(tmp_path), HERE, 5.0)) == 0


def test_more_than_fits_is_refused(tmp_path, monkeypatch):
    write_hats(stars(), tmp_path, order=1)
    cone = Cone(ra=10.05, dec=20.05, radius=0.1)
    for limit, what in (("_MOST_ROWS", "more than 1 stars"), ("_MOST_PARTITIONS", "of its partitions")):
        with monkeypatch.context() as patch:
            patch.setattr(hats, limit, 1 if limit == "_MOST_ROWS" else 0)
            with pytest.raises(CatalogError, match=what):
                read_cone(str(tmp_path), cone, 5.0)
    monkeypatch.setattr(hats, "_LARGEST_TEXT", 3)
    with pytest.raises(CatalogError, match=r"hats\.properties is larger"):
        read_cone(str(tmp_path), cone, 5.0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a pipe in a folder")
def test_what_never_answers_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "hats.properties")
    with pytest.raises(CatalogError, match="no answer within"):
        read_cone(str(tmp_path), HERE, 0.2)
    with pytest.raises(ServiceError, match="a URL that begins with s3://"):
        read_cone("hdfs://nowhere/catalog", HERE, 0.2)


def test_a_catalog_at_a_url(tmp_path):
    """Over HTTP the same stars; a server that is not there is a service that does not answer."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    write_hats(stars(), tmp_path, order=1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert len(read_cone(url, Cone(ra=10.05, dec=20.05, radius=0.1), 10.0)) == 2
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ServiceError, match="did not answer"):
        read_cone(url, HERE, 2.0)
