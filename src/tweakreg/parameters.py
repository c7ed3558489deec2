"""The step's parameters: from checked values to frozen records."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tweakreg.errors import ParameterError
from tweakreg.files import expanded
from tweakreg.records import FindConfig, Selection, SipConfig, Stage, StageConfig
from tweakreg.reference.cache import cache_folder
from tweakreg.reference.providers import CATALOGS, Request, is_file
from tweakreg.reference.service import Patience
from tweakreg.spec import SPEC

CATALOG_FORMATS = ("ecsv", "fits")
OUTPUT_TYPES = ("fits", "asdf")

#: What parameters need that is not installed with the package.
_EXTRAS = {"save_plots": ("matplotlib",), "save_report": ("matplotlib", "jinja2")}

_POSITIVE = ("snr_threshold", "kernel_fwhm", "sigma_radius", "sigma", "searchrad", "separation", "tolerance")
_POSITIVE_ABSOLUTE = ("abs_sigma", "abs_searchrad", "abs_separation", "abs_tolerance", "service_timeout")
_POSITIVE_SIP = ("sip_max_pix_error", "sip_max_inv_pix_error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All parameters of a run.

    Attributes
    ----------
    find : FindConfig
    relative : StageConfig
    absolute : StageConfig or None
        None when no absolute alignment is asked for.
    sip : SipConfig
    abs_refcat : str
        As given; empty for none.
    request : Request or None
        The reference catalogs in order, and how to get at them.
    refimage : str
        Image whose sources are the reference; empty for none.
    reference_selection, source_selection : Selection
        Of the stars of the reference, and of the sources of the exposures.
    expand_refcat : bool
        The effective value: always true with an absolute alignment.
    enforce_user_order : bool
    use_custom_catalogs : bool
    catfile : str
    save_catalogs, save_abs_catalog : bool
    catalog_format : str
    workers : int
        Processes that find sources.
    save_fit_summary, save_matches, save_refcat, save_correction, save_plots, save_report : bool
    wcsname : str
    on_failure : str
    dry_run, restart : bool
    """

    find: FindConfig
    relative: StageConfig
    absolute: StageConfig | None
    sip: SipConfig
    abs_refcat: str = ""
    request: Request | None = None
    refimage: str = ""
    reference_selection: Selection = field(default_factory=Selection)
    source_selection: Selection = field(default_factory=lambda: Selection(units="pixels"))
    expand_refcat: bool = False
    enforce_user_order: bool = False
    use_custom_catalogs: bool = False
    catfile: str = ""
    save_catalogs: bool = False
    save_abs_catalog: bool = False
    catalog_format: str = "ecsv"
    workers: int = 1
    save_fit_summary: bool = True
    save_matches: bool = False
    save_refcat: bool = False
    save_correction: bool = False
    save_plots: bool = False
    save_report: bool = False
    wcsname: str = ""
    on_failure: str = "warn"
    dry_run: bool = False
    restart: bool = False

    @property
    def draws(self) -> bool:
        """Whether something will be drawn."""
        return self.save_plots or self.save_report


def make_config(values: Mapping[str, Any]) -> Config:
    """Check the values of the spec against each other and the disk, and group them.

    Parameters
    ----------
    values : mapping
        Value of every parameter in `tweakreg.spec.SPEC`, as validated by the spec.

    Raises
    ------
    ParameterError
        Names the parameter and says what would be right.
    """
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(name, value, "must be finite")
    for name in (*_POSITIVE, *_POSITIVE_ABSOLUTE, *_POSITIVE_SIP):
        if not values[name] > 0.0:
            raise ParameterError(name, values[name], "must be greater than 0")
    for low, high in (("sharplo", "sharphi"), ("roundlo", "roundhi")):
        if values[low] > values[high]:
            raise ParameterError(low, values[low], f"must not be greater than {high} = {values[high]}")
    if values["catalog_format"] not in CATALOG_FORMATS:
        raise ParameterError("catalog_format", values["catalog_format"], f"must be {' or '.join(CATALOG_FORMATS)}")
    if any(value < 0.0 for value in values["kron_params"] or ()):
        raise ParameterError("kron_params", values["kron_params"], "must not be negative")
    if values["output_ext"].lstrip(".") not in OUTPUT_TYPES:
        raise ParameterError("output_ext", values["output_ext"], f"must be {' or '.join(OUTPUT_TYPES)}")
    if "/" in (values["suffix"] or ""):
        raise ParameterError("suffix", values["suffix"], "must not contain a slash; set output_dir for a folder")
    if not (values["wcsname"].isascii() and values["wcsname"].isprintable()):
        raise ParameterError(
            "wcsname", values["wcsname"], "must consist of printable ASCII characters, as a FITS header"
        )
    for name, modules in _EXTRAS.items():
        missing = [module for module in modules if find_spec(module) is None]
        if values[name] and missing:
            raise ParameterError(name, True, f"needs {' and '.join(missing)}: pip install 'tweakreg[plot]'")
    catfile, refimage = (_path(values[name]) for name in ("catfile", "refimage"))
    if values["use_custom_catalogs"] and catfile and not Path(catfile).is_file():
        raise ParameterError("catfile", catfile, "there is no such file")
    abs_refcat = values["abs_refcat"].strip()
    request = _request(abs_refcat, values)
    if refimage and not Path(refimage).is_file():
        raise ParameterError("refimage", refimage, "there is no such file")
    if refimage and abs_refcat and values["refxyunits"] != "pixels":
        raise ParameterError("refimage", refimage, "cannot be used together with abs_refcat: set one of them")
    if values["refxyunits"] == "pixels" and not (refimage and abs_refcat):
        raise ParameterError("refxyunits", "pixels", "needs refimage, and a file abs_refcat with pixels of it")
    for prefix in ("", "r"):
        low, high = values[f"{prefix}minflux"], values[f"{prefix}maxflux"]
        if low is not None and high is not None and low > high:
            raise ParameterError(f"{prefix}minflux", low, f"must not be greater than {prefix}maxflux = {high}")
    relative = _stage(Stage.RELATIVE, values, "")
    absolute = _stage(Stage.ABSOLUTE, values, "abs_")
    return Config(
        find=_find(values),
        relative=relative,
        absolute=absolute if abs_refcat or refimage else None,
        sip=SipConfig(
            approximate=values["sip_approx"],
            max_pix_error=values["sip_max_pix_error"],
            degree=values["sip_degree"],
            max_inv_pix_error=values["sip_max_inv_pix_error"],
            inv_degree=values["sip_inv_degree"],
            npoints=values["sip_npoints"],
        ),
        abs_refcat=abs_refcat or refimage,
        request=request,
        refimage=refimage,
        reference_selection=_selection(values, "r", values["refxyunits"]),
        source_selection=_selection(values, "", "pixels" if values["xyunits"] == "pixels" else "degrees"),
        expand_refcat=values["expand_refcat"] or bool(abs_refcat or refimage),
        enforce_user_order=values["enforce_user_order"],
        use_custom_catalogs=values["use_custom_catalogs"],
        catfile=catfile,
        save_catalogs=values["save_catalogs"],
        save_abs_catalog=values["save_abs_catalog"],
        catalog_format=values["catalog_format"],
        workers=_workers(values["maximum_cores"]),
        wcsname=values["wcsname"].strip(),
        **{name: values[name] for name in _AS_THEY_ARE},
    )


def _request(abs_refcat: str, values: Mapping[str, Any]) -> Request | None:
    """The reference catalogs in order; files among them must exist."""
    if not abs_refcat:
        return None
    named = [("abs_refcat", abs_refcat)]
    named += [("abs_fallback", name.strip()) for name in values["abs_fallback"].split(",") if name.strip()]
    for parameter, name in named:
        if is_file(name) and not expanded(name).is_file():
            known = f"an existing file, the URL or folder of a HATS catalog, or one of {', '.join(CATALOGS)}"
            raise ParameterError(parameter, name, f"must be {known}")
    return Request(
        names=tuple(name for _, name in named),
        patience=Patience(timeout=values["service_timeout"], retries=values["service_retries"]),
        cache=cache_folder(values["refcat_cache"]),
    )


def _selection(values: Mapping[str, Any], prefix: str, units: str) -> Selection:
    """Columns and cuts of the exposures' catalogs, or with prefix "r" of the reference."""
    reference = prefix == "r"
    return Selection(
        x=values["refxcol" if reference else "xcol"].strip(),
        y=values["refycol" if reference else "ycol"].strip(),
        flux=values[f"{prefix}fluxcol"].strip(),
        units=units,
        origin=int(values["pixel_origin"]),
        magnitudes=values[f"{prefix}fluxunits"] == "mag",
        min_flux=values[f"{prefix}minflux"],
        max_flux=values[f"{prefix}maxflux"],
        brightest=values["refnbright" if reference else "nbright"],
        max_ruwe=values["abs_max_ruwe"] if reference else None,
        drop_duplicates=values["abs_drop_duplicates"] if reference else False,
    )


def _workers(value: str) -> int:
    """Number of processes; never more than there are cores for this one."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = {"none": 1, "quarter": available // 4, "half": available // 2, "all": available}
    word = value.strip().lower()
    if word in shares:
        return max(1, shares[word])
    if word.isdecimal() and int(word) > 0:
        return min(int(word), available)
    raise ParameterError("maximum_cores", value, "must be none, quarter, half, all or a number, at least 1")


_AS_THEY_ARE = (
    "save_fit_summary",
    "save_matches",
    "save_refcat",
    "save_correction",
    "save_plots",
    "save_report",
    "on_failure",
    "dry_run",
    "restart",
)


def _path(value: str) -> str:
    """A path as a shell would take it; empty for none."""
    return str(expanded(value)) if value.strip() else ""


def _find(values: Mapping[str, Any]) -> FindConfig:
    fields = {name: values[name] for name in FindConfig.__dataclass_fields__}
    fields["connectivity"] = int(values["connectivity"])
    kron = values["kron_params"]
    fields["kron_params"] = (2.5, 1.4, 0.0) if kron is None else tuple(kron)
    return FindConfig(**fields)


def _stage(stage: Stage, values: Mapping[str, Any], prefix: str) -> StageConfig:
    """The same record for both stages; what has no parameter of its own there is common to both."""
    names = set(StageConfig.__dataclass_fields__) - {"stage", "xoffset", "yoffset", "weighted", "error_floor"}
    fields = {name: values[prefix + name if prefix + name in values else name] for name in names}
    if stage is Stage.RELATIVE:
        fields |= {"xoffset": values["xoffset"], "yoffset": values["yoffset"]}
    else:
        fields |= {"weighted": values["abs_weighted"], "error_floor": values["abs_error_floor"]}
    config = StageConfig(stage=stage, **fields)
    if config.separation <= math.sqrt(2.0) * config.tolerance:
        least = math.sqrt(2.0) * config.tolerance
        remedy = f"must be greater than sqrt(2) × {prefix}tolerance = {least:.3f}, or one source could match two"
        raise ParameterError(f"{prefix}separation", config.separation, remedy)
    return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A line of the spec in words."""

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


def explain(problem: str) -> str:
    """Add to a message of the validator what the parameter may be.

    Parameters
    ----------
    problem : str
        As stpipe words it: ``Config parameter 'NAME': ...`` or ``Extra value 'NAME' in root``.
    """
    checks = dict(re.findall(r"^\s*(\w+) = (\w+\(.*\)) #", SPEC, re.MULTILINE))
    if extra := re.match(r"Extra value '(\w+)'", problem):
        near = difflib.get_close_matches(extra[1], checks, n=1)
        hint = f": did you mean '{near[0]}'?" if near else "; see `strun -h tweakreg`"
        return f"Parameter '{extra[1]}' does not exist{hint}"
    name = re.match(r"Config parameter '(\w+)': (.*)", problem, re.DOTALL)
    if name is None or name[1] not in checks:
        return problem
    return f"Parameter '{name[1]}': {name[2].rstrip('.')}; it must be {describe(checks[name[1]])}"


def normalise(values: dict[str, Any]) -> None:
    """Be lenient where the spec is strict: numbers for options, and None for what may be absent.

    Parameters
    ----------
    values : dict
        Changed in place. None where it has no meaning becomes a word that the validator refuses.
    """
    known = {parameter.name: parameter for _, group in parameter_groups() for parameter in group}
    for name, value in values.items():
        if (
            name in ("connectivity", "maximum_cores", "pixel_origin")
            and isinstance(value, (int, float))
            and math.isfinite(value)
        ):
            values[name] = str(int(value))
        elif (value is None or (isinstance(value, str) and value == "None")) and name in known:
            if name in _TEXT_OR_NONE:
                values[name] = ""
            else:
                values[name] = None if name in _NUMBER_OR_NONE or known[name].default == "None" else "None"


#: Where None means "no limit", although the default is a number, and where it means "none given".
_NUMBER_OR_NONE = {"brightest"}
_TEXT_OR_NONE = {
    "abs_refcat", "abs_fallback", "refimage", "catfile", "wcsname", "xcol", "ycol", "fluxcol", "refxcol", "refycol",
    "rfluxcol",
}  # fmt: skip
