"""Which parameter reference file belongs to a data set: CRDS's, a packaged one, or one of a folder."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from tweakreg.errors import ParameterFileError, first_line, logger
from tweakreg.process import within
from tweakreg.spec import DEFAULTS

log = logger(__name__)

#: Says where parameter reference files come from.
VARIABLE = "TWEAKREG_PARS"
WORDS = ("auto", "crds", "packaged", "none")
_CHOICES = f"{', '.join(WORDS)}, or a folder that exists"

#: What the parameters of this step are called in CRDS.
REFTYPE = "pars-tweakregstep"

#: Seconds. A server that is silent for so long is taken for dead; one that answers may take longer, as
#: the first run with an empty cache fetches all rules.
SERVER_PATIENCE = 3.0
LOOK_UP_PATIENCE = 60.0
#: For one answer of the server, seconds, where CRDS_CLIENT_TIMEOUT_SECONDS says nothing; CRDS would wait for an hour.
CLIENT_TIMEOUT = 10
_CRDS_DEFAULT_TIMEOUT = 3600

#: What the value of a parameter can be in a file.
_PLAIN = (str, bool, int, float, type(None))
#: A file of parameters is small: one that is larger than so many bytes is something else.
_LARGEST = 1 << 20

#: Letters of a line, of which configobj's time has the square.
_LONGEST_LINE = 1000
#: A line of a configuration file. No text matches it in two ways, as it may configobj's own expressions: that takes
#: no longer than the line is.
_LINE = re.compile(
    r"""\s*(?:
        (?:\[+[^\[\]]+\]+\s*                                             # a section
        |(?:"[^"]*"\s*|'[^']*'\s*|[^\s\[\]\#'"=][^=]*)=\s*               # a name
            (?:(?:"[^"]*"\s*|'[^']*'\s*|[^\s,\#'"][^,\#]*)(?:,\s*|(?=\#|$)))*   # values, of a list each with a comma
            (?:,\s*)?                                                    # an empty list
        )?(?:\#.*)?)""",
    re.VERBOSE,
)

#: CRDS talks to no server of a name with this word and is content with its cache.
_SERVERLESS = "https://serverless.invalid"
#: Of two runs in threads, one at a time changes CRDS's server.
_crds_lock = threading.Lock()


def parameter_file(header: Mapping[str, Any]) -> Path | None:
    """Find the parameter reference file of a data set, and say in the log which it is.

    Parameters
    ----------
    header : mapping
        Flat metadata such as ``meta.instrument.name``.

    Returns
    -------
    Path or None
        None where no file fits, or none is wanted.

    Raises
    ------
    ParameterFileError
        The environment variable TWEAKREG_PARS is neither one of its words nor a folder.
    """
    where = os.environ.get(VARIABLE, "").strip() or "auto"
    word = where.lower()
    if word == "none":
        log.info("No parameter reference file is used, as %s says", VARIABLE)
        return None
    if word not in WORDS:
        _check_folder(where)
    if word == "crds" or (word == "auto" and _crds_is_configured()):
        path = _from_crds(header)
        if path is not None:
            log.info("Parameters from CRDS: %s", path)
        if path is not None or word == "crds":
            return path
    folder = Path(str(files("tweakreg.pars"))) if word in WORDS else Path(where).expanduser()
    path = select(header, folder)
    element = header.get("meta.instrument.filter") or header.get("meta.instrument.optical_element") or ""
    what = f"{header.get('meta.instrument.name')} {element}".strip()
    if path is None:
        log.info("No parameter reference file for %s in %s: the defaults apply", what, folder)
    else:
        log.info("Parameters for %s from the %s file %s", what, "packaged" if word in WORDS else "user's", path)
    return path


def observatory_of(header: Mapping[str, Any]) -> str:
    """Name of the observatory for CRDS.

    Parameters
    ----------
    header : mapping
        Flat metadata; those that do not name the telescope are of JWST.
    """
    return str(header.get("meta.telescope") or "jwst").lower()


def _check_folder(where: str) -> None:
    """Refuse what is no folder that can be read: looking for files in it would find none, and say nothing."""
    try:
        next(Path(where).expanduser().iterdir(), None)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterFileError(
            f"environment variable {VARIABLE} = {where!r}: must be {_CHOICES} ({reason})"
        ) from error


def reference_parameters(header: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What the parameter reference file of a data set says, and its name; as the step uses it, switched off alike.

    Parameters
    ----------
    header : mapping
        Flat metadata; empty where there are none.

    Raises
    ------
    ParameterFileError
        As for `parameter_file` and `read_parameters`.
    """
    off = os.environ.get("STPIPE_DISABLE_CRDS_STEPPARS", "").strip().lower() in ("true", "t", "yes", "y", "1")
    path = parameter_file(header) if header and not off else None
    return ("", {}) if path is None else (path.name, read_parameters(path, DEFAULTS))


def read_parameters(path: Path, known: Collection[str]) -> dict[str, Any]:
    """A parameter reference file without what this version does not know.

    Parameters
    ----------
    path : Path
        ASDF as CRDS has it, or a configuration file of stpipe's.
    known : collection of str
        Names of the parameters that exist.

    Raises
    ------
    ParameterFileError
        It cannot be read, or holds parameters of another step.
    """
    try:
        kind, values = _contents(path)
    except Exception as error:  # configobj, asdf and yaml each raise their own
        raise ParameterFileError(
            f"{path}: cannot be read as a parameter reference file ({first_line(error)})"
        ) from error
    if not kind.endswith("TweakRegStep"):
        raise ParameterFileError(f"{path}: holds parameters of {kind}, not of TweakRegStep")
    hooks = {"pre_hooks", "post_hooks"}  # commands are not a reference file's to give
    for name in [name for name in values if name not in set(known) - hooks]:
        if name not in hooks or values[name]:
            log.warning("%s: parameter '%s' does not exist here and is left out", path.name, name)
        del values[name]
    for name, value in values.items():
        if isinstance(value, dict):
            raise ParameterFileError(f"{path}: parameter '{name}' must be a value, not a section")
        if not all(isinstance(each, _PLAIN) for each in (value if isinstance(value, list) else [value])):
            raise ParameterFileError(f"{path}: parameter '{name}' must be a number, a word or a list of numbers")
    return values


def _contents(path: Path) -> tuple[str, dict[str, Any]]:
    """The class that a file has parameters for, and these."""
    import asdf.util

    if not path.is_file():
        raise ValueError("there is no such file")
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST >> 20} MB")
    with path.open("rb") as file:
        is_asdf = file.read(5) == b"#ASDF"
    if is_asdf:
        # Its text alone: no parameter is an array or a transform, and a small file may declare huge ones.
        tree = asdf.util.load_yaml(path)
        return str(tree.get("class", "TweakRegStep")), dict(tree["parameters"])
    from configobj import ConfigObj

    # References of values to values would let a few lines grow without limit.
    values = ConfigObj(_checked_lines(path.read_bytes()), raise_errors=True, interpolation=False).dict()
    kind = str(values.pop("class", "TweakRegStep"))
    values.pop("name", None)
    return kind, values


def _checked_lines(content: bytes) -> list[str]:
    """Lines of a configuration file; on what is none, the expressions of configobj may try for ever."""
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if len(line) > _LONGEST_LINE or not _LINE.fullmatch(line):
            raise ValueError(f"line {number} of it is no 'name = value'")
    return lines


def select(header: Mapping[str, Any], folder: Path) -> Path | None:
    """Apply the rmap of the instrument in a folder.

    Parameters
    ----------
    header : mapping
        Flat metadata.
    folder : Path
        Holds rmaps and the files that they name, as CRDS does but side by side.

    Returns
    -------
    Path or None
        None where there is no rmap for the instrument, or no rule for the data set.

    Notes
    -----
    The rules are applied by `crds.core.rmap`, which needs neither server nor cache for it.
    """
    from crds.core.rmap import load_mapping

    instrument = str(header.get("meta.instrument.name") or "").lower()
    rmaps = sorted(folder.glob(f"*_{instrument}_{REFTYPE}*.rmap")) if instrument.isalnum() else []
    if not rmaps:
        return None
    # For CRDS these two match any rule.
    wanted = {key.upper(): str(value) for key, value in header.items() if value not in (None, "N/A", "ANY")}
    try:
        found = load_mapping(str(rmaps[-1]), ignore_checksum=True).get_best_ref(wanted)
    except (Exception, SystemExit) as error:  # of a damaged file CRDS raises whatever its reader does
        log.warning("%s cannot be applied, the defaults stay: %s", rmaps[-1], first_line(error))
        return None
    return None if found is None or found.startswith("NOT FOUND") else folder / found


def _crds_is_configured() -> bool:
    """Whether the user's environment points to a CRDS server or cache."""
    return bool(os.environ.get("CRDS_SERVER_URL") or os.environ.get("CRDS_PATH"))


def _from_crds(header: Mapping[str, Any]) -> Path | None:
    """Ask CRDS, in whatever state it is; None where it has no file or no answer."""
    try:
        found = _ask_crds(header)
    except (Exception, SystemExit) as error:  # crds ends the process where it finds neither server nor cache
        reason = str(error).strip() or type(error).__name__
        log.warning("CRDS does not answer (%s)", reason.splitlines()[0])
        return None
    if not Path(found).is_file():
        log.info("CRDS has no parameter reference file for this data set")
        return None
    return Path(found)


def _ask_crds(header: Mapping[str, Any]) -> str:
    """Best reference according to the server, or to the cache alone where the server is of no use."""
    url = os.environ.get("CRDS_SERVER_URL", "")
    if not url or _answers(url):
        try:
            with _crds_settings():
                return within(LOOK_UP_PATIENCE, lambda: _best_reference(header))
        except (Exception, SystemExit):
            if not url:
                raise
    log.warning("the CRDS server %s does not answer: only files in the cache are used", url)
    with _crds_settings(_SERVERLESS):
        return within(LOOK_UP_PATIENCE, lambda: _best_reference(header))


@contextmanager
def _crds_settings(server: str = "") -> Iterator[None]:
    """CRDS with our time-out, and with a server of its own if one is given; both are as before afterwards.

    They belong to the whole process: they are set here, one run at a time, and not in a thread that may outlive
    our patience. CRDS writes its default into the environment when it is imported, so that is what nobody has set.
    """
    from crds.client import api
    from crds.core import config

    with _crds_lock:
        before, timeout = api.get_crds_server(), config.get_client_timeout_seconds()
        if timeout == _CRDS_DEFAULT_TIMEOUT:
            config.CLIENT_TIMEOUT.set(CLIENT_TIMEOUT)
        if server:
            api.set_crds_server(server)
        try:
            yield
        finally:
            config.CLIENT_TIMEOUT.set(timeout)
            api.set_crds_server(before)


def _best_reference(header: Mapping[str, Any]) -> str:
    import crds

    observatory = observatory_of(header)
    prefix = "roman." if observatory == "roman" else ""  # its rules name the first key of its files
    wanted = {f"{prefix}{name}": value for name, value in header.items()}
    return str(crds.getreferences(wanted, reftypes=[REFTYPE], observatory=observatory)[REFTYPE])


def _answers(url: str) -> bool:
    """Whether the service, not just the machine, is up: CRDS itself would wait for an hour."""
    import requests

    question = {"jsonrpc": "1.0", "method": "get_server_info", "params": [], "id": "tweakreg"}
    try:
        answer = requests.post(f"{url.rstrip('/')}/json/", json=question, timeout=SERVER_PATIENCE, stream=True)
        answer.close()
    except requests.RequestException:
        return False
    return bool(answer.ok)
