"""Catalog services: faults, fall-backs, the cache, bundles."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import requests
from astropy.table import Table

from catalogs import write_hats
from helpers import run, statuses, wcs_of
from tweakreg import SINGLE_GROUP_REFCAT, read_result
from tweakreg.errors import ServiceError
from tweakreg.reference.cache import cached
from tweakreg.reference.cone import Cone
from tweakreg.reference.file import read_reference
from tweakreg.reference.providers import Request, fetch, reference_catalog
from tweakreg.reference.service import Patience, query_service
from tweakreg.simulate import score
from tweakreg.tables import write_parquet

HERE = Cone(ra=10.0, dec=20.0, radius=0.1)

#: Small, and many millions of stars.
BOMB = gzip.compress(b"ra,dec\n" + b"10.0,20.0\n" * 3_000_000)
BODY = b"#comment\nra,dec,mag,pmra,pmdec,objID\n10.0,20.0,15.0,1.0,2.0,5\n10.01,20.01,16.0,,,6\n"


class Service(BaseHTTPRequestHandler):
    """The catalog service, with one of its faults."""

    fault = ""
    asked: list[str] = []  # noqa: RUF012 - shared on purpose

    def do_GET(self):
        type(self).asked.append(self.path)
        status = 500 if self.fault in ("500", "csv with 500") else 200
        body = {
            "html": b"<html>down</html>",
            "500": b"error",
            "empty": b"",
            "mixed": BODY + b"Error: time out,,,,,\n",
            "no star": b"No data records found",
            "elsewhere": b"ra,dec\n200.0,30.0\n200.1,30.0\n",
            "radians": b"ra,dec\n0.17453,0.34907\n",
            "no columns": b"\x1b[2Jevil,dec\n1,2\n",
            "bomb": BOMB,
            "cut while packed": BOMB[:-100],
        }.get(self.fault, BODY)
        if self.fault == "slow headers":
            for _ in range(100):
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX: " if _ == 0 else b"x")
                time.sleep(0.1)
            return
        self.send_response(302 if self.fault == "sent around" else status)
        if self.fault == "sent around":
            self.send_header("Location", self.path)
        if self.fault in ("bomb", "cut while packed"):
            self.send_header("Content-Encoding", "gzip")
        length = len(body) + (500 if self.fault == "truncated" else 0)
        if self.fault not in ("cut", "slow"):
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.connection.close()
            return
        if self.fault == "slow":
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
            return
        self.wfile.write(body[:-5] if self.fault == "cut" else body)

    def log_message(self, *args):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError, OSError):
            self.close_connection = True


@pytest.fixture
def service(monkeypatch):
    """A server on this machine; call it with a fault."""
    Service.fault, Service.asked = "", []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", f"http://127.0.0.1:{server.server_port}")

    def choose(fault):
        Service.fault = fault
        return server

    yield choose
    server.shutdown()
    server.server_close()


FAULTS = ["500", "csv with 500", "html", "empty", "slow", "truncated", "reset", "refused", "cut", "mixed"]
FAULTS += ["elsewhere", "radians", "no columns", "bomb", "cut while packed", "slow headers", "sent around"]


def test_the_service_is_asked_for_its_own_epoch(service):
    service("")
    table = query_service("GAIADR3", HERE, Patience())
    assert len(table) == 2
    assert "EPOCH" not in Service.asked[0]
    assert "CAT=GAIADR3" in Service.asked[0]
    catalog = reference_catalog(Request(names=("GAIADR3",)), [(np.array([10.0, 10.02]), np.array([20.0, 20.02]))], 0.1)
    assert catalog.epoch.tolist() == [2016.0, 2016.0]
    assert np.isnan(catalog.motion[1]).all()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_a_service_is_one_error_in_time(service, fault, monkeypatch):
    service(fault)
    if fault == "refused":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            monkeypatch.setenv("ASTROMETRIC_CATALOG_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    start = time.monotonic()
    with pytest.raises(ServiceError, match=r"GAIADR3 did not answer with a catalog: .") as caught:
        query_service("GAIADR3", HERE, Patience(timeout=1.0, retries=0))
    assert str(caught.value).isprintable()
    assert time.monotonic() - start < 4.0


def test_no_answer_is_taken_from_http_where_https_was_asked(service, monkeypatch):
    """A server that says that it was asked over https, for which it would need a certificate."""
    service("")
    get = requests.get

    def asked(url, **options):
        response = get(url.replace("https:", "http:"), **options)
        response.url = response.url.replace("http:", "https:")
        return response

    monkeypatch.setattr(requests, "get", asked)
    monkeypatch.setattr(Service, "do_GET", _send_to_http)
    with pytest.raises(ServiceError, match=r"sends on from https to http://elsewhere.*not followed"):
        query_service("GAIADR3", HERE, Patience(timeout=2.0, retries=0))


def _send_to_http(self):
    self.send_response(302)
    self.send_header("Location", "http://elsewhere/")
    self.end_headers()


def test_a_service_is_asked_again(service):
    service("500")
    with pytest.raises(ServiceError, match=r"HTTP status 500 \(3 tries\)"):
        query_service("GAIADR3", HERE, Patience(timeout=1.0, retries=2))
    assert len(Service.asked) == 3


def test_no_star_is_an_answer(service):
    service("no star")
    assert len(query_service("GAIADR1", HERE, Patience())) == 0


@pytest.mark.parametrize("fault", ["500", "html", "slow"])
def test_without_a_service_the_relative_solution_is_written(service, scene, tmp_path, catalog_models, fault):
    service(fault)
    scene_models = catalog_models(scene, tmp_path)
    library = run(
        scene_models, use_custom_catalogs=True, abs_refcat="GAIADR3", service_timeout=1.0, service_retries=0,
        refcat_cache="none", save_results=True, output_dir=str(tmp_path),
    )  # fmt: skip
    assert set(statuses(library)) == {"FAILED"}
    assert score(wcs_of(library), scene.truth, scene.config.size).relative.max() < 2.0
    with library:
        model = library.borrow(0)
        absolute = read_result(model)["stages"]["absolute"]
        library.shelve(model, 0, modify=False)
    assert absolute["outcome"] == "NO_REFERENCE"
    assert "tweakreg refcat fetch" in absolute["detail"]
    assert len(list(tmp_path.glob("*_tweakreg.fits"))) == len(scene.exposures)


def test_the_fallback_is_used_and_recorded(service, scene, tmp_path, catalog_models):
    service("500")
    scene.reference_catalog().write(tmp_path / "refcat.ecsv")
    library = run(
        catalog_models(scene, tmp_path), use_custom_catalogs=True, abs_refcat="GAIADR3", service_retries=0,
        abs_fallback=f"GAIADR2, {tmp_path / 'refcat.ecsv'}", refcat_cache="none",
    )  # fmt: skip
    assert set(statuses(library)) == {"COMPLETE"}
    with library:
        model = library.borrow(0)
        assert read_result(model)["reference"]["name"] == "refcat.ecsv"
        assert model.meta.wcs.name == "FIT-LVL3-refcat.ecsv"
        library.shelve(model, 0, modify=False)


def test_cones_are_kept(service, tmp_path):
    service("")
    odd = Cone(ra=10.0123456789, dec=19.9876543211, radius=0.1000000004)
    first = fetch("GAIADR3", [HERE], Patience(), tmp_path)
    fetch("GAIADR3", [odd], Patience(), tmp_path)
    service("500")
    assert len(fetch("GAIADR3", [odd], Patience(retries=0), tmp_path)) == 2
    smaller = Cone(ra=10.02, dec=20.01, radius=0.05)
    again = fetch("GAIADR3", [smaller], Patience(retries=0), tmp_path)
    assert (again["ra"] == first["ra"]).all()
    assert again.meta["provenance"] == first.meta["provenance"]
    for other in (Cone(ra=10.08, dec=20.0, radius=0.05), Cone(ra=10.0, dec=20.0, radius=0.2)):
        with pytest.raises(ServiceError):
            fetch("GAIADR3", [other], Patience(retries=0), tmp_path)
    with pytest.raises(ServiceError):
        fetch("GAIADR2", [HERE], Patience(retries=0), tmp_path)
    for kept in tmp_path.iterdir():
        kept.write_bytes(b"damaged")
    service("")
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 2


def test_answers_for_another_part_of_the_sky_are_not_kept(service, tmp_path):
    """Neither is one believed that an earlier version kept, or one that says that it is of all the sky."""
    service("elsewhere")
    with pytest.raises(ServiceError, match="2 of 2 stars in the answer are not within"):
        fetch("GAIADR3", [HERE], Patience(retries=0), tmp_path)
    assert not list(tmp_path.iterdir())
    service("")
    fetch("GAIADR3", [HERE], Patience(), tmp_path)
    (kept,) = tmp_path.iterdir()
    write_parquet(Table({"ra": [200.0], "dec": [30.0]}), kept)
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 2
    kept.rename(tmp_path / f"{kept.name.rsplit('_', 3)[0]}_0_0_180.parquet")
    Service.asked.clear()
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 2
    assert len(Service.asked) == 1


def test_no_star_is_believed_for_a_day(service, tmp_path):
    service("no star")
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 0
    service("")
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 0
    (kept,) = tmp_path.iterdir()
    os.utime(kept, (0.0, 0.0))
    assert len(fetch("GAIADR3", [HERE], Patience(), tmp_path)) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert len(cached("X", HERE, tmp_path / "file", lambda cone: Table({"ra": [1.0], "dec": [2.0]}))) == 1
    assert "are not kept" in caplog.text


def test_a_bundle_is_a_reference_catalog(service, scene, scene_files, tmp_path, capsys):
    from tweakreg.cli import main

    catalog = tmp_path / "hats"
    write_hats(scene.gaia(), catalog, order=1)
    bundle = tmp_path / "bundle.parquet"
    assert main(["refcat", "fetch", str(scene_files), "-o", str(bundle), "--catalog", str(catalog)]) == 0
    assert f"stars to {bundle}" in capsys.readouterr().out
    assert "fetched" in read_reference(bundle).provenance
    library = run(str(scene_files), abs_refcat=str(bundle), roundhi=0.6)
    assert set(statuses(library)) == {"COMPLETE"}
    assert np.median(score(wcs_of(library), scene.truth, scene.config.size).absolute) < 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["asn.json", "-o", "a.txt"], "the ending must be one of"),
        (["asn.json", "-o", "a.parquet", "--catalog", "nothing"], "is no catalog to fetch from"),
        (["asn.json", "-o", "a.parquet"], "asn.json"),
    ],
)
def test_fetching_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, message):
    from tweakreg.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["refcat", "fetch", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_names_are_public():
    assert SINGLE_GROUP_REFCAT == ["GAIAREFCAT", "GAIADR3", "GAIADR2", "GAIADR1", "GAIADR3_S3"]
