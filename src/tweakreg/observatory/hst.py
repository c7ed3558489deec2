"""HST exposures: FITS files with the WCS of each chip in its header; see `tweakreg.observatory.exposure`."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tweakreg.errors import InputError, WCSError, logger
from tweakreg.observatory.exposure import ExposureImage, ExposureState
from tweakreg.observatory.fitsfile import rewrite_headers
from tweakreg.observatory.flags import unusable
from tweakreg.observatory.names import bare_name
from tweakreg.plane import Floats, TangentPlane
from tweakreg.records import Affine, FitQuality, Outcome, Pixels, SipConfig, SourceCatalog, Status
from tweakreg.wcs.check import check_places
from tweakreg.wcs.corrector import TelescopeAngles
from tweakreg.wcs.fits import FitsWcs, archive, header_identity, letters, orientation, read_cards, write_cards
from tweakreg.wcs.footprint import Bounds, pixel_scale, s_region, sky, vertices

log = logger(__name__)

NAME = "hst"
ENDINGS: tuple[str, ...] = (".fits",)
OWN_LIBRARY = False

#: Bits of DQ that do no harm: hot and warm pixels, which are found as artefacts, saturation, and cosmic rays that the
#: up-the-ramp fit has taken out.
GOOD_BITS = "16,64,256,2048"
_TELESCOPE = re.compile(rb"TELESCOP= *'HST")
#: Blocks of 2880 bytes of a primary header, at most.
_HEAD = 2880 * 40
_GZIP = b"\x1f\x8b"
#: SCI extensions that overlap by more than this share are repeats of one pointing, and not chips.
_REPEATED = 0.5
#: Filters that make spectra.
_GRISMS = re.compile(r"(G|PR)\d{2,3}L?")
#: Longest text of a FITS keyword.
_LONGEST_NAME = 68
#: Letter of the WCS that the first correction found, how the alignment ended, and its result.
_ORIGINAL, _STATUS, _RESULT = "TWKWCS", "TWEAKREG", "TWKRES"
_FIT_KEYWORDS = ("RMS_RA", "RMS_DEC", "NMATCHES", "FITGEOM", "CRDER1", "CRDER2", "WCSTYPE", "HDRNAME")

Cards = list[tuple[str, Any, str]]


class HstModel:
    """An HST exposure as stpipe's libraries have datamodels: its headers, and its pixels where they are asked for.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        Open; kept if there is no file.
    path : Path, optional
        Its file, which is not changed.
    """

    crds_observatory = "hst"

    def __init__(self, hdus: Any, path: Path | None = None) -> None:
        self.path = path
        self.headers = [hdu.header.copy() for hdu in hdus]
        self._hdus = hdus if path is None else None
        name = path.name if path is not None else str(self.primary.get("FILENAME") or "")
        self.meta = SimpleNamespace(filename=name or None, group_id=None, exptype="science")

    @property
    def primary(self) -> Any:
        """The primary header."""
        return self.headers[0]

    @property
    def science(self) -> list[int]:
        """Indices of the extensions with images; the primary one of a drizzled image without extensions."""
        found = [index for index, header in enumerate(self.headers) if header.get("EXTNAME") == "SCI"]
        return found or ([0] if self.primary.get("NAXIS") else [])

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """All of it, to be read."""
        from astropy.io import fits

        if self._hdus is not None:
            yield self._hdus
        else:
            with fits.open(self.path, memmap=False) as hdus:
                yield hdus

    def data(self, name: str, version: int) -> Any:
        """Pixels of an extension; None if there is none. Of images without pixels the one value that they have."""
        with self.opened() as hdus:
            for hdu in hdus:
                if hdu.header.get("EXTNAME", "SCI") == name and int(hdu.header.get("EXTVER", 1)) == version:
                    if hdu.header.get("NAXIS") == 2:
                        return np.asarray(hdu.data)
                    if "NPIX1" in hdu.header:
                        shape = hdu.header["NPIX2"], hdu.header["NPIX1"]
                        return np.full(shape, hdu.header.get("PIXVALUE", 0))
        return None

    def get_crds_parameters(self) -> dict[str, Any]:
        """What parameters are selected by."""
        return _selection(self.primary)

    def save(self, path: str | Path, dir_path: str | None = None, *args: Any, **kwargs: Any) -> str:
        """Write it: a copy of its file with other headers, byte by byte."""
        target = Path(dir_path or ".") / Path(path).name if dir_path else Path(path)
        if self._hdus is None:
            assert self.path is not None
            rewrite_headers(self.path, target, self.headers)
        else:
            for hdu, header in zip(self._hdus, self.headers, strict=True):
                if hdu.header.tostring() != header.tostring():
                    hdu.header = header.copy()
            self._hdus.writeto(target)
        return str(target)

    def copy(self) -> HstModel:
        """Another one that can be changed."""
        from astropy.io import fits

        hdus = self.headers if self._hdus is None else fits.HDUList([hdu.copy() for hdu in self._hdus])
        made = HstModel(hdus if self._hdus is not None else [SimpleNamespace(header=each) for each in hdus], self.path)
        made.headers = [header.copy() for header in self.headers]
        made.meta = SimpleNamespace(**vars(self.meta))
        return made

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> HstModel:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class HstImage:
    """One chip of an exposure, or one of its repeats.

    Parameters
    ----------
    model : HstModel
        Its headers are changed by what is written.
    index : int
        Of its extension.
    wcs : FitsWcs
        The primary WCS of that.
    name : str
        For messages and files.
    """

    def __init__(self, model: HstModel, index: int, wcs: FitsWcs, name: str) -> None:
        self._model = model
        self._header = model.headers[index]
        self._wcs = wcs
        self._archived = False
        self.name = name
        self.subgroup = ""

    # --- what is read -----------------------------------------------------------------------------------------

    @property
    def wcs(self) -> Cards:
        """The cards of the primary WCS, and of the keyword that says which one was the first."""
        first = (_ORIGINAL,) if _ORIGINAL in self._header else ()
        return read_cards(self._header) + [(name, self._header[name], self._header.comments[name]) for name in first]

    @property
    def _version(self) -> int:
        return int(self._header.get("EXTVER", 1))

    @property
    def detector(self) -> str:
        """Detector, chip, and where a subarray lies on it: what has the same hot pixels."""
        primary = self._model.primary
        parts = [
            primary.get("DETECTOR") or primary.get("INSTRUME"),
            self._header.get("CCDCHIP") or primary.get("CAMERA"),
        ]
        place = [0.0 - float(self._header.get(name, 0.0)) for name in ("LTV1", "LTV2")]
        words = [str(part).strip() for part in parts if part not in (None, "")]
        return "-".join([*words, *(f"{value:g}" for value in place if any(place))])

    @property
    def filename(self) -> str:
        """Of the exposure."""
        return str(self._model.meta.filename)

    @property
    def bounds(self) -> Bounds:
        """Edges of the image."""
        nx, ny = (int(self._header.get(f"NAXIS{axis}") or self._header.get(f"NPIX{axis}") or 0) for axis in (1, 2))
        return (-0.5, nx - 0.5), (-0.5, ny - 0.5)

    @property
    def angles(self) -> TelescopeAngles:
        """A FITS WCS needs none. Raises `WCSError`."""
        raise WCSError("corrections in the telescope's frame are for a GWCS")

    @property
    def follows_target(self) -> str:
        """The target, if it is a moving one."""
        moving = str(self._model.primary.get("MTFLAG") or "").strip().upper() in ("T", "1", "TRUE")
        return str(self._model.primary.get("TARGNAME") or "a moving target").strip() if moving else ""

    @property
    def corrected(self) -> bool:
        """Whether the header names the WCS of before an alignment."""
        return self._header.get(_ORIGINAL) in letters(self._header)

    @property
    def wcs_name(self) -> str:
        """WCSNAME."""
        return str(self._header.get("WCSNAME") or "").strip()

    @property
    def catalog_name(self) -> None:
        """HST's files name none."""
        return None

    @property
    def identity(self) -> str:
        """Of the primary WCS."""
        return header_identity(self._header)

    @property
    def selection(self) -> dict[str, Any]:
        """Instrument, detector (of NICMOS the camera) and filter."""
        return _selection(self._model.primary)

    @property
    def unfit(self) -> tuple[Outcome, str] | None:
        """How the stages end if the image cannot be aligned, and why."""
        table = str(self._model.primary.get("IDCTAB") or self._header.get("IDCTAB") or "N/A").strip()
        if table != "N/A" and "A_ORDER" not in self._header and "FLT" in self._filetype:
            return Outcome.UNSUPPORTED_WCS, f"its distortion is that of {table} and not in the header: run updatewcs"
        try:
            check_places(self._wcs, self.bounds)
        except WCSError as error:
            return Outcome.IMPLAUSIBLE, str(error)
        return None

    @property
    def _filetype(self) -> str:
        """FLT for exposures, DRZ for what is combined of them."""
        return "FLT" if re.search(r"_(fl[tc]|c0m)\b", bare_name(self.filename)) else "DRZ"

    def pixels(self, *, errors: bool = False, dqbits: str = "") -> Pixels:
        """Pixels, and their errors where they are needed; flagged ones are masked, but for bits that do no harm."""
        data = self._model.data("SCI", self._version)
        mask = np.zeros(data.shape, dtype=bool)
        dq = self._quality()
        if dq is not None and dq.shape == data.shape:
            mask = unusable(dq, dqbits or GOOD_BITS, {})
        error = self._model.data("ERR", self._version) if errors else None
        return Pixels(data=data, error=error, mask=mask, bounds=self.bounds)

    def _quality(self) -> Any:
        """DQ; WFPC2 has it in a file of its own."""
        from astropy.io import fits

        path = self._model.path
        if path is not None and path.name.lower().endswith("_c0m.fits"):
            beside = path.with_name(re.sub("_c0m.fits$", "_c1m.fits", path.name, flags=re.IGNORECASE))
            if not beside.is_file():
                log.warning("%s: %s is not there: no pixel is masked", self.name, beside.name)
                return None
            with fits.open(beside, memmap=False) as hdus:
                return np.asarray(hdus["SCI", self._version].data).astype(int)
        dq = self._model.data("DQ", self._version)
        return None if dq is None else dq.astype(int) & 0xFFFF

    def sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Right ascension and declination of pixels, degrees."""
        return sky(self._wcs, x, y)

    def to_pixels(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        """Pixels of sky positions in degrees."""
        return self._wcs.invert(ra, dec)

    def footprint(self) -> tuple[Floats, Floats]:
        """Vertices along the edges, degrees; every fourth part begins at a corner."""
        return vertices(self._wcs, self.bounds, n_per_side=4)

    def measured(self, catalog: SourceCatalog, group: str, catalog_name: str | None = None) -> ExposureImage:
        """What the alignment needs of the image and its sources."""
        when = self._time()
        return ExposureImage.of(
            self,
            catalog,
            group,
            pixel_scale=pixel_scale(self._wcs, self.bounds),
            epoch=np.nan if when is None else float(when.jyear),
            corrected=self.corrected,
            observer=None if when is None else _earth(when),
        )

    def _time(self) -> Any:
        """Middle of the exposure; None if the header does not say."""
        from astropy.time import Time

        try:
            ends = [float(self._model.primary[name]) for name in ("EXPSTART", "EXPEND")]
        except (KeyError, TypeError, ValueError):
            return None
        # Of HST's lifetime; a time outside would move stars by centuries.
        return Time(sum(ends) / 2.0, format="mjd") if all(48000.0 < end < 88000.0 for end in ends) else None

    def uncorrected(self) -> HstImage:
        """The image with its original pointing; the exposure itself is not changed."""
        if not self.corrected:
            return self
        model = self._model.copy()
        index = next(index for index, each in enumerate(self._model.headers) if each is self._header)
        header = model.headers[index]
        write_cards(header, read_cards(header, header[_ORIGINAL]))
        with self._model.opened() as hdus:
            return HstImage(model, index, FitsWcs(header, hdus), self.name)

    def state(self) -> ExposureState:
        """What an alignment changes, as it is now."""
        status = str(self._model.primary.get(_STATUS) or "")
        return ExposureState(wcs=self.wcs, status=status, result=_tree(self._header))

    def fitted_name(self, catalog: str | None, *, alone: bool = False) -> str:
        """As drizzlepac calls it, which reads from the name what was done: the distortion, then the alignment."""
        base = self.wcs_name.split("-")[0]
        if not base.startswith("IDC_"):
            table = str(self._model.primary.get("IDCTAB") or "").rpartition("$")[2].rpartition("_idc")[0]
            base = f"IDC_{table}" if table else "OPUS"
        tied = re.sub(r"[^A-Za-z0-9_.]", "", bare_name(catalog)) if catalog else "NONE"
        return f"{base}-FIT_{'IMG' if alone else 'REL'}_{tied or 'NONE'}"[:_LONGEST_NAME]

    # --- what is written --------------------------------------------------------------------------------------

    def set_wcs(self, wcs: Sequence[Sequence[Any]]) -> None:
        """Give it the cards of a primary WCS."""
        cards = {str(name): (value, str(comment)) for name, value, comment in wcs}
        write_cards(self._header, [(name, *card) for name, card in cards.items()])
        if _ORIGINAL not in cards:
            self._header.remove(_ORIGINAL, ignore_missing=True)
        with self._model.opened() as hdus:
            self._wcs = FitsWcs(self._header, hdus)
        self._update_region()

    def correct(self, correction: Affine, plane: TangentPlane, wcs_name: str | None) -> None:
        """Correct CRVAL and CD of the primary WCS; the one of before is kept under another letter.

        Raises
        ------
        WCSError
            The header has no letter left, or no CRVAL and CD give the corrected positions.
        """
        if not correction.is_identity:
            crval, cd = self._wcs.corrected(correction, plane, self.bounds)
            if not self._archived:
                letter = archive(self._header)
                if not self.corrected:
                    self._header[_ORIGINAL] = (letter, "letter of the WCS before the first alignment")
                self._archived = True
            for axis in (1, 2):
                self._header[f"CRVAL{axis}"] = float(crval[axis - 1])
                for other in (1, 2):
                    self._header[f"CD{axis}_{other}"] = float(cd[axis - 1, other - 1])
            self._header["ORIENTAT"] = (orientation(cd), "position angle of image y axis (deg. e of n)")
            for name in _FIT_KEYWORDS:  # of another WCS
                self._header.remove(name, ignore_missing=True)
        if wcs_name is not None:
            self._header["WCSNAME"] = (wcs_name[:_LONGEST_NAME], "name of the WCS")
        self._update_region()

    def _update_region(self) -> None:
        try:
            region = s_region(self._wcs, self.bounds)
        except ValueError as error:
            log.warning("%s: S_REGION is not updated: %s", self.name, error)
            return
        self._header["S_REGION"] = region

    def update_sip(self, config: SipConfig) -> str:
        """Nothing: the SIP coefficients are the WCS itself."""
        return ""

    def write_result(self, tree: dict[str, Any]) -> None:
        """Keep the result of an alignment, packed, in the header of the image."""
        self._header.remove(_RESULT, ignore_missing=True)
        if tree:
            packed = base64.b64encode(zlib.compress(json.dumps(tree).encode(), 9)).decode("ascii")
            self._header[_RESULT] = packed

    def write_fit(self, quality: FitQuality | None) -> None:
        """RMS_RA, RMS_DEC, CRDER1, CRDER2, NMATCHES, FITGEOM, WCSTYPE, and RADESYS of a WCS that a catalog ties."""
        if quality is None:
            return
        tied = bool(quality.catalog)
        catalog = bare_name(quality.catalog) if tied else "NONE"
        kind = self.wcs_name.rpartition("FIT_")[2].partition("_")[0]
        how = "aligned image-by-image to" if kind == "IMG" else "relatively aligned to"
        said: dict[str, tuple[Any, str]] = {
            "WCSTYPE": (f"undistorted a posteriori solution {how} {catalog}"[:_LONGEST_NAME], ""),
            "RMS_RA": (quality.rms_ra, "[mas] rms of the residuals to the east"),
            "RMS_DEC": (quality.rms_dec, "[mas] rms of the residuals to the north"),
            "CRDER1": (quality.rms_ra / 3.6e6, "[deg] random error in axis 1"),
            "CRDER2": (quality.rms_dec / 3.6e6, "[deg] random error in axis 2"),
            "NMATCHES": (quality.n_used, "sources used in the fit"),
            "FITGEOM": (quality.geometry, "what was fitted"),
        }
        if tied:
            said["RADESYS"] = ("ICRS", "frame of the reference catalog")
            self._header.remove("EQUINOX", ignore_missing=True)
        for name, card in said.items():
            self._header[name] = card
        self._header.remove("HDRNAME", ignore_missing=True)

    def write_keywords(self, cards: Sequence[Sequence[Any]], known: Sequence[str]) -> None:
        """Nothing: `write_fit` has what HST's headers say of a fit."""

    def write_status(self, status: Status | None) -> None:
        """TWEAKREG of the primary header: a file with one image that failed has failed."""
        before = self._model.meta
        told = [*getattr(before, "told", ()), status]
        before.told = told
        if status is None:
            self._model.primary.remove(_STATUS, ignore_missing=True)
        else:
            worst = Status.FAILED if Status.FAILED in told else status
            self._model.primary[_STATUS] = (worst.value, "how the alignment ended")

    def write_names(self, catalog_name: str | None, filename: str | None) -> None:
        """FILENAME, where that is another one than before."""
        if filename is not None and self._model.primary.get("FILENAME", filename) != filename:
            self._model.primary["FILENAME"] = filename
        self._model.meta.filename = filename or self._model.meta.filename


def is_file(path: Path) -> bool:
    """Whether the primary header says that HST is the telescope."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        if head.startswith(_GZIP):
            with gzip.open(path) as unpacked:
                head = unpacked.read(_HEAD)
    except (OSError, EOFError, ValueError, zlib.error):
        return False
    return head.startswith(b"SIMPLE") and _TELESCOPE.search(head) is not None and b"DATAMODL" not in head


def is_header(primary: Any) -> bool:
    """As `is_file`, of a primary header."""
    return str(primary.get("TELESCOP", "")).strip() == "HST" and "DATAMODL" not in primary


def model_of_hdus(hdulist: Any) -> HstModel:
    """An open file."""
    return HstModel(hdulist)


def is_model(model: Any) -> bool:
    """Whether it is an `HstModel`, or an open HDUList of HST."""
    return isinstance(model, HstModel)


def open_model(path: str | Path, **kwargs: Any) -> HstModel:
    """Read the headers of a file."""
    from astropy.io import fits

    path = Path(path)
    with fits.open(path, memmap=False) as hdus:
        return HstModel(hdus, path)


def images(model: HstModel, path: str | Path) -> list[HstImage]:
    """The chips, or the repeats, of an exposure.

    Raises
    ------
    InputError
        It has none that can be aligned.
    """
    if not model.science:
        raise InputError(path, "holds no SCI extension: tweakreg aligns calibrated exposures (_flt, _flc, _c0m)")
    for index in model.science:
        axes = model.headers[index].get("NAXIS")
        if axes not in (0, 2) or (axes == 0 and "NPIX1" not in model.headers[index]):
            raise InputError(path, f"its SCI extension has {axes} axes: it is no image (WFPC2's are in _c0m files)")
    filters = [str(model.primary.get(name) or "") for name in ("FILTER", "FILTER1", "FILTER2")]
    if any(_GRISMS.fullmatch(each) for each in filters):
        log.warning("%s: it was taken with a grism or prism: its sources are spectra", bare_name(path))
    single = len(model.science) == 1
    found = []
    with model.opened() as hdus:
        for index in model.science:
            version = model.headers[index].get("EXTVER", 1)
            name = bare_name(path) if single else f"{bare_name(path)}_sci{version}"
            try:
                wcs = FitsWcs(model.headers[index], hdus)
            except WCSError as error:
                raise InputError(path, f"SCI extension {version}: {error}") from error
            found.append(HstImage(model, index, wcs, name))
    _tell_repeats(found)
    return found


def _tell_repeats(images: Sequence[HstImage]) -> None:
    """Give those that lie on each other groups of their own."""
    for number, image in enumerate(images[1:], start=1):
        if any(_overlap(image, other) > _REPEATED for other in images[:number]):
            for each in images:
                each.subgroup = f"_{each._version}"


def _overlap(image: HstImage, other: HstImage) -> float:
    """Share of an image that lies on another."""
    (xmin, xmax), (ymin, ymax) = image.bounds
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(xmin, xmax, 12), np.linspace(ymin, ymax, 12)))
    there = other.to_pixels(*image.sky(x, y))
    inside = [(low < place) & (place < high) for place, (low, high) in zip(there, other.bounds, strict=True)]
    return float(np.mean(inside[0] & inside[1]))


def group_of(model: HstModel) -> str:
    """ROOTNAME."""
    return str(model.meta.group_id or model.primary.get("ROOTNAME") or bare_name(model.meta.filename)).strip().lower()


def group_of_file(path: Path) -> str:
    """As `group_of`."""
    from astropy.io import fits

    return str(fits.getheader(path).get("ROOTNAME") or bare_name(path)).strip().lower()


def exptype(model: HstModel) -> str:
    """What its association says, and else science."""
    return str(model.meta.exptype).lower()


def selection(path: Path) -> dict[str, Any]:
    """Instrument, detector and filter."""
    from astropy.io import fits

    return _selection(fits.getheader(path))


def _selection(primary: Any) -> dict[str, Any]:
    filters = [str(primary.get(name) or "") for name in ("FILTER", "FILTER1", "FILTER2", "FILTNAM1")]
    named = [name for name in filters if name and "CLEAR" not in name.upper()]
    camera = f"NIC{primary['CAMERA']}" if primary.get("INSTRUME") == "NICMOS" and "CAMERA" in primary else ""
    return {
        "meta.telescope": "HST",
        "meta.instrument.name": str(primary.get("INSTRUME") or "").strip(),
        "meta.instrument.detector": str(primary.get("DETECTOR") or camera).strip() or "N/A",
        "meta.instrument.filter": (named or ["N/A"])[0],
        "meta.observation.date": str(primary.get("DATE-OBS") or ""),
        "meta.observation.time": str(primary.get("TIME-OBS") or ""),
    }


def prepare(model: HstModel, filename: str) -> None:
    """A name, if it has none."""
    model.meta.filename = model.meta.filename or f"{filename}.fits"


def join(model: HstModel, member: Mapping[str, Any], association: Mapping[str, Any]) -> None:
    """Remember group and exposure type; a header has no place for them."""
    model.meta.group_id, model.meta.exptype = str(member["group_id"]), member["exptype"]


def check_savable(model: HstModel, path: Path) -> None:
    """It was a FITS file before."""


def output_name(path: Path, suffix: str, ending: str) -> str:
    """The name stays: those who combine exposures find them by it, and tell _flc from _flt."""
    return f"{bare_name(path)}{ending}"


def _tree(header: Any) -> dict[str, Any]:
    """The result in a header; empty for none, or one that cannot be read."""
    try:
        tree: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(str(header[_RESULT]))))
    except (KeyError, ValueError, zlib.error):
        return {}
    return tree


def _earth(when: Any) -> Floats:
    """Barycentric position of the Earth, au: HST is no farther from it than parallaxes can tell."""
    from astropy.coordinates import get_body_barycentric

    return np.asarray(get_body_barycentric("earth", when).xyz.to_value("au"))
