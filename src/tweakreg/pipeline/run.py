"""The whole of a run: measure, align, apply. The step runs the same loop as `align`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from astropy.table import QTable, Table

from tweakreg.errors import AlignmentFailedError, ParameterError, ParameterFileError
from tweakreg.files import expanded
from tweakreg.observatory.crds import known_parameters
from tweakreg.observatory.library import ModelLibrary, open_library
from tweakreg.observatory.names import bare_name
from tweakreg.observatory.output import plan_outputs, run_name, save_library
from tweakreg.parameters import Config, checked, given_catalog, make_config
from tweakreg.pipeline.align import align_exposures, without_distant
from tweakreg.pipeline.apply import Recording, apply
from tweakreg.pipeline.measure import measure
from tweakreg.pipeline.reference import Reference
from tweakreg.pipeline.result import ImageResult, Run
from tweakreg.pipeline.save import save_all
from tweakreg.records import Alignment, ReferenceCatalog
from tweakreg.report import plots
from tweakreg.report.lines import counted, headline, result_lines
from tweakreg.report.tables import FIT_DIGITS, shown, summary_table
from tweakreg.results.record import ImageRecord, Origins
from tweakreg.spec import DEFAULTS
from tweakreg.steppars import reference_parameters

#: What the files of a result are called after, as the step does.
_SUFFIX = "tweakreg"
#: Parameters that stpipe gives to every step.
_OF_THE_STEP = {"save_results", "output_dir", "output_file", "suffix", "input_dir", "skip", "configure_log"}


def run(library: ModelLibrary, config: Config, name: str, recording: Recording) -> Run:
    """Align the exposures of a library.

    Parameters
    ----------
    library : ModelLibrary
        Its exposures are changed.
    config : Config
        All parameters.
    name : str
        With which the names of the files about the run begin.
    recording : Recording
        What is written into the exposures beside the result.

    Returns
    -------
    Run
        What was found, to be shown and saved.
    """
    reference = None if config.reference is None else Reference(config.reference, config.find)
    if reference is not None:
        reference.early()
    measured = measure(library, config, recording.origins.parameters)
    exposures = without_distant(measured.exposures)
    alignment = align_exposures(exposures, reference, config)
    images = apply(library, exposures, alignment, config, recording)
    return Run(name=name, config=config, alignment=alignment, images=tuple(images), found=measured.found)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class RunResult:
    """What a run made and found out; in a notebook it shows itself.

    ``result["name"]`` is the `ImageResult` of an image, and a loop goes through all of them.

    Attributes
    ----------
    run : Run
        All that was found.
    library : ModelLibrary
        The exposures with corrected WCS.
    """

    run: Run
    library: ModelLibrary

    @property
    def images(self) -> tuple[ImageResult, ...]:
        """What became of each exposure, in the order of the input."""
        return self.run.images

    @property
    def records(self) -> tuple[ImageRecord, ...]:
        """All numbers, of each image."""
        return self.run.records

    @property
    def alignment(self) -> Alignment:
        """Corrections and covariances by group, on the common plane."""
        return self.run.alignment

    @property
    def names(self) -> list[str]:
        """Of the images."""
        return [each.name for each in self.images]

    @property
    def table(self) -> QTable:
        """A row per image and stage, with units and descriptions; whole numbers are masked where there was no fit."""
        return shown(summary_table(self.records), FIT_DIGITS)

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[ImageResult]:
        return iter(self.images)

    def __getitem__(self, name: str | int) -> ImageResult:
        if isinstance(name, Integral):
            return self.images[int(name)]
        wanted = bare_name(str(name))
        found = [each for each in self.images if each.name == wanted]
        if not found:
            near = difflib.get_close_matches(wanted, self.names, n=1, cutoff=0.0)
            raise KeyError(f"there is no image {name!r}" + (f": did you mean {near[0]!r}?" if near else ""))
        return found[0]

    def plot_sky(self) -> Any:
        """Footprints before and after, and the reference catalog: a Figure."""
        with plots.style():
            return plots.sky_figure(self.run.view)

    def save(self, directory: str | Path = ".") -> list[Path]:
        """Write the exposures, and of the run what its ``save_...`` parameters say, as the step does.

        Parameters
        ----------
        directory : str or Path
            Is made if it does not exist.

        Returns
        -------
        list of Path
            What was written; after a dry run no exposure.

        Raises
        ------
        OutputError
            A result would replace an input, or cannot be written.
        """
        folder = expanded(str(directory))
        written: list[Path] = []
        if not self.run.config.dry_run:
            own = self.run.config.in_place
            outputs = plan_outputs(self.library, folder, _SUFFIX, None, self.run.config.ending, in_place=own)
            written += save_library(self.library, outputs, _SUFFIX, in_place=own)
        return written + save_all(self.run, folder)

    def __repr__(self) -> str:
        return (
            f"<RunResult {headline(self.records)}" + "".join(f"; {line}" for line in result_lines(self.records)) + ">"
        )

    def _repr_html_(self) -> str:
        from tweakreg.report.notebook import run_html

        tables = [plots.of_stage(each.match_table, each.record.deciding.stage.value) for each in self.images]
        return run_html(self.run.view, tables)


def align(inputs: Any, catalog: str | Path | Table | ReferenceCatalog | None = None, **parameters: Any) -> RunResult:
    """Align exposures to each other and, if there is a catalog, to that: what the step does, without stpipe.

    Parameters
    ----------
    inputs : str, Path, dict, datamodel, list or library
        An association, one exposure, or several, as the step takes them. They are not changed.
    catalog : str, Path, Table or ReferenceCatalog, optional
        The reference catalog: as for ``abs_refcat``, or the stars themselves.
    **parameters : object
        Those of the step. What is not given comes from the parameter file for the instrument and filter, and else
        from the spec.

    Returns
    -------
    RunResult
        Nothing is written until `RunResult.save`.

    Raises
    ------
    ParameterError
        A parameter does not exist, or has a value that cannot be used.
    InputError
        A file or catalog cannot be used.
    AlignmentFailedError
        An image could not be aligned and ``on_failure`` is 'error'; its ``result`` is what this function would give.

    Examples
    --------
    >>> import tweakreg                                                    # doctest: +SKIP
    >>> result = tweakreg.align("asn.json", catalog="GAIADR3", minobj=10)  # doctest: +SKIP
    >>> result.table, result["jw01_nrca1_cal"].plot()                      # doctest: +SKIP
    >>> result.save("aligned")                                             # doctest: +SKIP
    """
    for name in _OF_THE_STEP & parameters.keys():
        raise ParameterError(
            name, parameters[name], "is the step's: what align gives is written with result.save(folder)"
        )
    named = isinstance(catalog, (str, Path))
    if named and parameters.get("abs_refcat"):
        raise ParameterError("abs_refcat", parameters["abs_refcat"], "is what catalog says: give one of them")
    keywords = checked(parameters | ({"abs_refcat": str(catalog)} if named else {}))
    origins = _origins(inputs, keywords)
    values = {name: value for name, (value, _) in origins.parameters.items()}
    try:
        config = make_config(values, None if named or catalog is None else _given(catalog, values))
    except ParameterError as error:
        if named and error.name == "abs_refcat":
            raise ParameterError("catalog", error.value, error.remedy) from None
        raise
    items = tuple(inputs) if isinstance(inputs, tuple) else (inputs,)
    library = open_library(items, on_disk=not values["in_memory"])
    name = run_name(library, _SUFFIX, None)
    result = RunResult(run=run(library, config, name, Recording(origins=origins)), library=library)
    failed = [record.name for record in result.records if not record.complete]
    if failed and config.on_failure == "error":
        raise AlignmentFailedError(failure_text(failed), result)
    return result


def failure_text(failed: list[str]) -> str:
    """Which images could not be aligned, in short."""
    some = ", ".join(failed[:3]) + (" and others" if len(failed) > 3 else "")
    return f"{counted(len(failed), 'image')} could not be aligned: {some}"


def _given(catalog: Any, values: Mapping[str, Any]) -> ReferenceCatalog:
    if values["abs_refcat"] or values["refimage"]:
        name = "abs_refcat" if values["abs_refcat"] else "refimage"
        raise ParameterError(name, values[name], "is what catalog says: give one of them")
    return given_catalog(catalog, values)


def _origins(inputs: Any, keywords: Mapping[str, Any]) -> Origins:
    """Every parameter: what a caller said, else what the parameter file for the data says, else the default."""
    path, file_values = reference_parameters(known_parameters(inputs))
    try:
        file_values = checked(file_values)
    except ParameterError as error:
        raise ParameterFileError(f"{path}: {error}") from error
    origins: dict[str, tuple[Any, str]] = {}
    for name, default in DEFAULTS.items():
        if name in keywords:
            origins[name] = keywords[name], "keyword"
        elif name in file_values:
            origins[name] = file_values[name], f"reference file {path}"
        else:
            origins[name] = default, "default"
    return Origins(parameters=origins)
