"""The step's parameters: from checked values to frozen records."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from astropy.table import Table

from tweakreg.errors import ParameterError
from tweakreg.files import expanded, is_file
from tweakreg.records import FindConfig, ReferenceCatalog, Selection, SipConfig, Stage, StageConfig
from tweakreg.reference.cache import cache_folder
from tweakreg.reference.given import remembered, table_named
from tweakreg.reference.providers import CATALOGS, Request, available
from tweakreg.reference.service import Patience
from tweakreg.reference.table import catalog_of
from tweakreg.spec import DEFAULTS, SPEC
from tweakreg.steppars import reference_parameters

CATALOG_FORMATS = ("ecsv", "fits")
OUTPUT_TYPES = ("fits", "asdf")

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All parameters of a run.

    Attributes
    ----------
    find : FindConfig
        How sources are found.
    relative : StageConfig
        Matching and fitting of the exposures with each other.
    absolute : StageConfig or None
        The same with the reference catalog; None when no absolute alignment is asked for.
    reference : Request or None
        The reference catalog; None exactly where `absolute` is.
    sip : SipConfig
        The SIP approximation.
    source_selection : Selection
        Columns and cuts of the sources of the exposures.
    expand_refcat : bool
        The effective value: always true with an absolute alignment.
    enforce_user_order : bool
        Whether the first exposure is the reference.
    group_by, abs_group_by : str
        What receives one correction, and what is tied to the catalog together: 'exposure', 'detector' or 'image'.
    use_custom_catalogs : bool
        Whether sources are read where a catalog is named.
    dqbits : str
        Bits of the data quality that do no harm; empty for those of the instrument.
    catfile : str
        File that names catalogs; empty for none.
    save_catalogs, save_abs_catalog : bool
        Whether the sources found, and the reference catalog, are written.
    catalog_format : str
        Ending of the files with sources.
    workers : int
        Processes that find sources and draw.
    save_fit_summary, save_matches, save_refcat, save_correction, save_plots, save_report : bool
        What else is written about the run.
    wcsname : str
        Name of a corrected WCS; empty for the usual one.
    in_place : bool
        Whether results replace the exposures.
    on_failure : str
        What follows from images that fail: 'warn', 'skip' or 'error'.
    output_ext : str
        Ending of the files of the exposures, with or without its dot.
    dry_run : bool
        Whether exposures are left as they are.
    restart : bool
        Whether exposures that were corrected before start from their original pointing.
    """

    find: FindConfig
    relative: StageConfig
    absolute: StageConfig | None
    reference: Request | None
    sip: SipConfig
    source_selection: Selection
    expand_refcat: bool
    enforce_user_order: bool
    group_by: str
    abs_group_by: str
    use_custom_catalogs: bool
    dqbits: str
    catfile: str
    save_catalogs: bool
    save_abs_catalog: bool
    catalog_format: str
    workers: int
    save_fit_summary: bool
    save_matches: bool
    save_refcat: bool
    save_correction: bool
    save_plots: bool
    save_report: bool
    wcsname: str
    in_place: bool
    on_failure: str
    output_ext: str
    dry_run: bool
    restart: bool

    @property
    def ending(self) -> str:
        """Of the files of the exposures, with its dot."""
        return "." + self.output_ext.lstrip(".")

    @property
    def draws(self) -> bool:
        """Whether something will be drawn."""
        return self.save_plots or self.save_report


@dataclass(frozen=True, slots=True)
class Rule:
    """What a value must be beyond what the spec says.

    Attributes
    ----------
    name : str
        The parameter that is to be changed where the rule is broken.
    holds : callable
        Given all values; whether the rule is kept.
    remedy : str
        What would be right, with the names of other parameters in braces as `str.format` has it.
    """

    name: str
    holds: Callable[[Values], bool]
    remedy: str

    def check(self, values: Values) -> None:
        """Raise a `ParameterError` where the rule is broken."""
        if not self.holds(values):
            raise ParameterError(self.name, values[self.name], self.remedy.format(**values))


def _positive(name: str) -> Rule:
    return Rule(name, lambda values: values[name] > 0.0, "must be greater than 0")


def _ordered(low: str, high: str) -> Rule:
    def holds(values: Values) -> bool:
        return None in (values[low], values[high]) or values[low] <= values[high]

    return Rule(low, holds, f"must not be greater than {high} = {{{high}}}")


def _one_of(name: str, words: tuple[str, ...]) -> Rule:
    return Rule(name, lambda values: values[name].lstrip(".") in words, f"must be {' or '.join(words)}")


def _installed(name: str, *modules: str) -> Rule:
    """A parameter that needs what is not installed with the package."""

    def holds(values: Values) -> bool:
        return not values[name] or all(find_spec(module) is not None for module in modules)

    missing = " and ".join(modules)
    return Rule(name, holds, f"needs {missing}: pip install 'tweakreg[plot]'")


def _far_apart(prefix: str) -> Rule:
    """Of two sources farther apart than the separation, no third one can match both."""
    name, tolerance = f"{prefix}separation", f"{prefix}tolerance"

    def holds(values: Values) -> bool:
        return bool(values[name] > math.sqrt(2.0) * values[tolerance])

    what = f"sqrt(2) × {tolerance} = {{least_{name}:.3f}}"
    return Rule(name, holds, f"must be greater than {what}, or one source could match two")


def _there(name: str, when: Callable[[Values], bool]) -> Rule:
    def holds(values: Values) -> bool:
        return not (values[name] and when(values)) or is_file(values[name])

    return Rule(name, holds, "there is no such file")


def _is_known(catalog: str) -> bool:
    return not catalog or table_named(catalog) is not None or available(catalog)


def _fallbacks(values: Values) -> tuple[str, ...]:
    return tuple(name.strip() for name in values["abs_fallback"].split(",") if name.strip())


def _at_most(name: str, other: str, limit: float, unit: str) -> Rule:
    """The product of two parameters is a size in pixels, and bounds time and memory."""

    def holds(values: Values) -> bool:
        return bool(values[name] * values[other] <= limit)

    return Rule(name, holds, f"times {other} = {{{other}}} must be at most {limit:g} {unit}")


_KNOWN_CATALOGS = f"must be an existing file, the URL or folder of a HATS catalog, or one of {', '.join(CATALOGS)}"

#: In the order in which they are checked; a value that is not finite is found before.
RULES = (
    *map(
        _positive,
        (
            "snr_threshold", "kernel_fwhm", "sigma_radius", "sigma", "searchrad", "separation", "tolerance",
            "abs_sigma", "abs_searchrad", "abs_separation", "abs_tolerance", "service_timeout",
            "sip_max_pix_error", "sip_max_inv_pix_error",
        ),
    ),
    _ordered("sharplo", "sharphi"),
    _ordered("roundlo", "roundhi"),
    _one_of("catalog_format", CATALOG_FORMATS),
    Rule("kron_params", lambda values: min(values["kron_params"] or (0.0,)) >= 0.0, "must not be negative"),
    Rule("kron_params", lambda values: max(values["kron_params"] or (0.0,)) <= 100.0, "must be 100 at most"),
    _at_most("sigma_radius", "kernel_fwhm", 100.0, "pixels"),
    _at_most("minsep_fwhm", "kernel_fwhm", 100.0, "pixels"),
    _one_of("output_ext", OUTPUT_TYPES),
    Rule(
        "suffix",
        lambda values: "/" not in (values["suffix"] or ""),
        "must not contain a slash; set output_dir for a folder",
    ),
    Rule(
        "wcsname",
        lambda values: values["wcsname"].isascii() and values["wcsname"].isprintable(),
        "must consist of printable ASCII characters, as a FITS header",
    ),
    _installed("save_plots", "matplotlib"),
    _installed("save_report", "matplotlib"),
    _installed("save_report", "jinja2"),
    _there("catfile", lambda values: values["use_custom_catalogs"]),
    Rule("abs_refcat", lambda values: _is_known(values["abs_refcat"]), _KNOWN_CATALOGS),
    Rule(
        "abs_fallback",
        lambda values: not values["abs_refcat"] or all(map(available, _fallbacks(values))),
        _KNOWN_CATALOGS,
    ),
    _there("refimage", lambda values: True),
    Rule(
        "refimage",
        lambda values: not (values["refimage"] and values["abs_refcat"] and values["refxyunits"] != "pixels"),
        "cannot be used together with abs_refcat: set one of them",
    ),
    Rule(
        "refxyunits",
        lambda values: values["refxyunits"] != "pixels" or bool(values["refimage"] and values["abs_refcat"]),
        "needs refimage, and a file abs_refcat with pixels of it",
    ),
    _ordered("minflux", "maxflux"),
    _ordered("rminflux", "rmaxflux"),
    _far_apart(""),
    _far_apart("abs_"),
)  # fmt: skip


def make_config(values: Values, given: ReferenceCatalog | None = None) -> Config:
    """Check the values of the spec against each other and the disk, and group them.

    Parameters
    ----------
    values : mapping
        Value of every parameter in `tweakreg.spec.SPEC`, as validated by the spec.
    given : ReferenceCatalog, optional
        The reference catalog itself, where a caller in Python has it.

    Raises
    ------
    ParameterError
        Names the parameter and says what would be right.
    """
    checks = _checks()
    # What was set on the step itself was held against nothing.
    values = {**values, **checked({name: value for name, value in values.items() if name in checks})}
    for name, value in values.items():
        if any(isinstance(each, float) and not math.isfinite(each) for each in _each(value)):
            raise ParameterError(name, value, f"must be finite, and {describe(checks[name])}")
    paths = {name: _path(values[name]) for name in ("catfile", "refimage")}
    least = {f"least_{prefix}separation": math.sqrt(2.0) * values[f"{prefix}tolerance"] for prefix in ("", "abs_")}
    values = {"suffix": None, **values, **paths, "abs_refcat": values["abs_refcat"].strip(), **least}
    for rule in RULES:
        rule.check(values)
    if given is None and (table := table_named(values["abs_refcat"])) is not None:
        given = given_catalog(table, values)
        values = {**values, "abs_refcat": ""}
    reference = _request(values, given)
    own = set(Config.__dataclass_fields__) & set(values)
    return Config(
        find=FindConfig.of(values),
        relative=StageConfig.of(Stage.RELATIVE, values),
        absolute=None if reference is None else StageConfig.of(Stage.ABSOLUTE, values),
        reference=reference,
        sip=SipConfig.of(values),
        source_selection=Selection.of_sources(values),
        workers=_workers(values["maximum_cores"]),
        **{name: values[name] for name in own}
        | {
            "expand_refcat": values["expand_refcat"] or reference is not None,
            "wcsname": values["wcsname"].strip(),
        },
    )


def find_for(config: Config, origins: Values, selection: Values) -> FindConfig:
    """How the sources of one image are found: as the user says, else as the parameter file for that image does.

    Parameters
    ----------
    config : Config
        Of the run.
    origins : mapping of str to (value, origin)
        Every parameter and where it came from; empty where that is not known, and `config` holds for all images.
    selection : mapping
        Flat metadata of the image.

    Raises
    ------
    ParameterError
        A value in the parameter file cannot be used.
    """
    if not origins or not selection:
        return config.find
    chosen = tuple(sorted((name, str(value)) for name, value in selection.items() if name.startswith(_CHOOSING)))
    said = {
        name: value
        for name, (value, origin) in origins.items()
        if origin != "default" and not origin.startswith("reference file")
    }
    values = {**DEFAULTS, **_file_values(chosen), **said}
    return FindConfig.of(values)


#: Metadata by which the parameters of finding sources differ.
_CHOOSING = (
    "meta.telescope",
    "meta.instrument.",
    "meta.exposure.type",
    "meta.observation.date",
    "meta.observation.time",
)


@cache
def _file_values(chosen: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """What the parameter file for an image says; looked up once for all images alike."""
    return checked(reference_parameters(dict(chosen))[1])


def given_catalog(catalog: Any, values: Values) -> ReferenceCatalog:
    """A reference catalog that a caller in Python has.

    Parameters
    ----------
    catalog : Table or ReferenceCatalog
        The stars.
    values : mapping
        Value of every parameter: which columns and rows of a table are used.

    Raises
    ------
    ParameterError
        It is neither.
    """
    if isinstance(catalog, ReferenceCatalog):
        return catalog
    if isinstance(catalog, Table):
        name = str(catalog.meta.get("name", "table"))
        selection = Selection.of_reference(values)
        return catalog_of(catalog, f"catalog {name}", selection, name=name, provenance="a table in memory")
    kind = type(catalog).__name__
    raise ParameterError("catalog", kind, "must be a file, a name, an astropy Table or a ReferenceCatalog")


def _each(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _request(values: Values, given: ReferenceCatalog | None) -> Request | None:
    """The reference catalogs in order; None where there is to be none."""
    named = values["abs_refcat"]
    if not (named or values["refimage"] or given is not None):
        return None
    return Request(
        names=(named, *_fallbacks(values)) if named else (),
        image=values["refimage"],
        given=given,
        selection=Selection.of_reference(values),
        patience=Patience(timeout=values["service_timeout"], retries=values["service_retries"]),
        cache=cache_folder(values["refcat_cache"]),
    )


def _workers(value: str) -> int:
    """Number of processes; never more than there are cores for this one."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = {"none": 1, "quarter": available // 4, "half": available // 2, "all": available}
    word = value.strip().lower()
    if word in shares:
        return max(1, shares[word])
    if word.isdecimal() and len(word) < 10 and int(word) > 0:
        return min(int(word), available)
    raise ParameterError("maximum_cores", value, "must be none, quarter, half, all or a number from 1 to 999999999")


def _path(value: str) -> str:
    """A path as a shell would take it; empty for none."""
    return str(expanded(value)) if value.strip() else ""


def checked(keywords: Values) -> dict[str, Any]:
    """Hold keywords against the spec, as stpipe does for the step.

    Parameters
    ----------
    keywords : mapping
        Values of some parameters.

    Returns
    -------
    dict
        Of these parameters, in the type that the spec says.

    Raises
    ------
    ParameterError
        Names the parameter and says what it may be, or what was meant.
    """
    from configobj.validate import ValidateError, Validator

    values = dict(keywords)
    normalise(values)
    checks = _checks()
    known: dict[str, Any] = {}
    for name, value in values.items():
        if name not in checks:
            raise ParameterError.of_message(explain(f"Extra value '{name}' in root"))
        try:
            known[name] = Validator().check(checks[name], value)
        except ValidateError as error:
            raise ParameterError.of_message(explain(f"Config parameter '{name}': {error}")) from None
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A line of the spec in words.

    Attributes
    ----------
    name : str
        Of the parameter.
    kind : str
        What it may be.
    default : str
        Its value if nobody sets it.
    purpose : str
        What it is for.
    """

    name: str
    kind: str
    default: str
    purpose: str


def parameter_groups() -> list[tuple[str, list[Parameter]]]:
    """The spec as it stands, in its groups, for documentation."""
    groups: list[tuple[str, list[Parameter]]] = []
    for line in map(str.strip, SPEC.strip().splitlines()):
        if line.startswith("# "):
            groups.append((line[2:], []))
        elif match := re.fullmatch(r"(\w+) = (\w+\(.*default=(.*)\)) # (.*)", line):
            name, check, default, purpose = match.groups()
            kind = describe(check)
            groups[-1][1].append(Parameter(name=name, kind=kind, default=default, purpose=purpose))
    return groups


def describe(check: str) -> str:
    """What a check of the spec allows, in words: ``integer(min=1, default=15)`` is 'an integer, at least 1'."""
    kind, arguments = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", check, re.DOTALL).groups()  # type: ignore[union-attr]
    bounds = dict(re.findall(r"(\w+)\s*=\s*([^,\s]+)", arguments))
    options = re.findall(r"'([^']*)'", arguments.split("default")[0])
    if kind == "option":
        return "one of " + ", ".join(options)
    words = {"boolean": "True or False", "integer": "an integer", "float": "a number", "string": "text"}.get(kind)
    if words is None:
        words = f"{bounds.pop('min')} to {bounds.pop('max')} numbers" if kind == "float_list" else kind
    if "min" in bounds:
        words += f", at least {bounds['min']}"
    if "max" in bounds:
        words += f", at most {bounds['max']}"
    if bounds.get("default") == "None" or kind == "float_list":
        words += ", or None"
    return words


@cache
def _checks() -> dict[str, str]:
    """The check of each parameter, as the spec has it."""
    return dict(re.findall(r"^\s*(\w+) = (\w+\(.*\)) #", SPEC, re.MULTILINE))


def explain(problem: str) -> str:
    """Add to a message of the validator what the parameter may be.

    Parameters
    ----------
    problem : str
        As stpipe words it: ``Config parameter 'NAME': ...`` or ``Extra value 'NAME' in root``.
    """
    checks = _checks()
    if extra := re.match(r"Extra value '(\w+)'", problem):
        near = difflib.get_close_matches(extra[1], checks, n=1)
        hint = f": did you mean '{near[0]}'?" if near else "; see `strun -h tweakreg`"
        return f"Parameter '{extra[1]}' does not exist{hint}"
    name = re.match(r"Config parameter '(\w+)': (.*)", problem, re.DOTALL)
    if name is None or name[1] not in checks:
        return problem
    said = name[2] if len(name[2]) <= _LONGEST else f"{name[2][:_LONGEST]}..."
    return f"Parameter '{name[1]}': {said.rstrip('.')}; it must be {describe(checks[name[1]])}"


def normalise(values: dict[str, Any]) -> None:
    """Be lenient where the spec is strict: numbers for options, numpy's values, paths, None for what may be absent.

    Parameters
    ----------
    values : dict
        Changed in place. None where it has no meaning becomes a word that the validator refuses.
    """
    for name, given in values.items():
        value = values[name] = _of_python(given) if name in DEFAULTS or isinstance(given, os.PathLike) else given
        if (
            name in ("connectivity", "maximum_cores", "pixel_origin")
            and isinstance(value, (int, float))
            and math.isfinite(value)
        ):
            values[name] = str(int(value))
        elif (value is None or (isinstance(value, str) and value == "None")) and name in DEFAULTS:
            if name in _TEXT_OR_NONE:
                values[name] = ""
            else:
                values[name] = None if name in _NUMBER_OR_NONE or DEFAULTS[name] is None else "None"


def _of_python(value: Any) -> Any:
    """A number of numpy, a path or a table as the spec takes it; what it cannot look at, as what it refuses."""
    if isinstance(value, Table):
        return remembered(value)
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, (list, tuple)):
        return [_of_python(each) for each in value]
    if isinstance(value, Mapping):
        return f"a section with {len(value)} entries"
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        return math.inf if value > 0 else -math.inf
    return value


#: No parameter is as large as this.
_LARGEST_WHOLE = 10**30
#: Letters of what the validator says.
_LONGEST = 200
#: Where None means "no limit", although the default is a number, and where it means "none given".
_NUMBER_OR_NONE = {"brightest"}
_TEXT_OR_NONE = {
    "abs_refcat", "abs_fallback", "refimage", "catfile", "wcsname", "xcol", "ycol", "fluxcol", "refxcol", "refycol",
    "rfluxcol",
}  # fmt: skip
