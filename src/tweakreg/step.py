"""The step: a thin shell around `tweakreg.pipeline.run` that speaks stpipe."""

from __future__ import annotations

import logging
from dataclasses import replace
from os import fsdecode
from pathlib import Path, PurePath
from time import perf_counter
from typing import TYPE_CHECKING, Any

from stpipe import Step
from stpipe.config_parser import ConfigObj
from stpipe.exceptions import ValidationError
from stpipe.library import AbstractModelLibrary
from stpipe.step import get_disable_crds_steppars

from tweakreg.errors import AlignmentFailedError, OutputError, ParameterError, TweakRegError, logger
from tweakreg.files import check_writable
from tweakreg.parameters import checked, explain, make_config, normalise
from tweakreg.process import terminable
from tweakreg.spec import DEFAULTS, SPEC
from tweakreg.steppars import observatory_of, parameter_file, read_parameters
from tweakreg.stpipe_glue import ENDINGS, as_exit, ended, origins_of, parameter_error, refuse_unreadable, restore_values

if TYPE_CHECKING:
    from tweakreg.pipeline.run import RunResult
    from tweakreg.results.record import Origins

log = logger(__name__)


class TweakRegStep(Step):
    """Align exposures to each other and to a reference catalog.

    The input is an association, or one or several calibrated exposures.
    """

    class_alias = "tweakreg"
    spec = SPEC
    save_results: bool
    in_place: bool
    _saved: list[Path]
    #: What the last run found out, to be looked at and plotted; None before one.
    result: RunResult | None = None

    def process(self, *inputs: Any) -> AbstractModelLibrary:
        """Align exposures.

        Parameters
        ----------
        *inputs : str, Path, dict, datamodel, list or library
            An association, one exposure, or several.

        Returns
        -------
        ModelLibrary
            The exposures with corrected WCS and ``meta.cal_step.tweakreg``. Inputs are not changed. For a library
            of romancal's one of that class, which its next step takes.

        Raises
        ------
        TweakRegError
            Parameters or files that cannot be used; under ``strun`` one sentence and exit code 1.
        """
        from tweakreg.observatory.library import as_given, open_library
        from tweakreg.observatory.output import run_name
        from tweakreg.pipeline.apply import Recording
        from tweakreg.pipeline.run import RunResult, run

        try:
            config = make_config(self.get_pars())
            library = open_library(inputs, on_disk=not self.in_memory, input_dir=self.input_dir or "")
            filenames = None
            if self.save_results:
                outputs = self._outputs(library)
                filenames = [path.name for path in outputs]
            else:
                config = replace(config, save_fit_summary=False)
            name = run_name(library, self._suffix, self.output_file)
            recording = Recording(filenames=filenames, origins=self._origins())
            self.result = RunResult(run=run(library, config, name, recording), library=library)
            if config.dry_run:
                log.info("dry_run: no exposure is changed or written")
                self.save_results = False
        except TweakRegError as error:
            raise as_exit(error) from error
        except ENDINGS as ending:
            raise ended(ending, "interrupted: no exposure is written, inputs are as they were") from ending
        return as_given(library, inputs)

    def run(self, *args: Any) -> Any:
        """Run the step; see `process`. An output folder that is none is found before anything else."""
        self.result, self._saved, started = None, [], perf_counter()
        saves = bool(self.save_results)
        args = tuple(fsdecode(each) if isinstance(each, bytes) else each for each in args)
        try:
            self._check_attributes()
            self._make_directory()
            with terminable():
                result = super().run(*args)
                # Last, so that no table tells of exposures that could not be saved.
                failed = self._write_about(started)
            if failed and self.on_failure == "error":
                from tweakreg.pipeline.run import failure_text

                raise AlignmentFailedError(f"{failure_text(failed)}; all results are written", self.result)
        except TweakRegError as error:
            raise as_exit(error) from error
        finally:
            self.save_results = saves
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        """A parameter that is set as an attribute is held against the spec as one that is given as a keyword."""
        value = str(value) if isinstance(value, PurePath) else value
        super().__setattr__(name, checked({name: value})[name] if name in DEFAULTS else value)

    def _check_attributes(self) -> None:
        """Refuse attributes that were set since the step was made and are no parameters: they have no effect."""
        known = self._own_names | set(self.get_pars()) | set(dir(type(self)))
        for name in vars(self).keys() - known:
            if not name.startswith("_"):
                raise ParameterError.of_message(explain(f"Extra value '{name}' in root"))

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", error)
            raise OutputError(f"output_dir = {self._directory} cannot be used as a folder: {reason}") from error
        # The table of fits is written beside results only.
        saves = [name for name, value in self.get_pars().items() if name.startswith("save_") and value]
        if self.output_file or set(saves) - {"save_fit_summary"}:
            check_writable(self._directory)

    def _write_about(self, started: float) -> list[str]:
        """Write what tells of the run, and say in a few lines how it ended; the images that failed."""
        if self.result is None:  # it was skipped
            return []
        from tweakreg.pipeline.save import save_all
        from tweakreg.report.lines import summary_lines

        try:
            written = save_all(self.result.run, self._directory)
        except ENDINGS as ending:
            done = "all exposures are written" if self._saved else "no exposure was to be written"
            raise ended(ending, f"interrupted: {done}, what tells of the run is not complete") from ending
        records = self.result.records
        failed = [record.name for record in records if not record.complete]
        for line in summary_lines(records, [*self._saved, *written], perf_counter() - started):
            log.log(logging.WARNING if failed else logging.INFO, "%s", line)
        return failed

    def _origins(self) -> Origins:
        """Every parameter and where its value came from; "attribute" was set on the step itself."""
        from tweakreg.results.record import Origins

        values, known = self.get_pars(), self._known_origins
        return Origins(
            parameters={
                name: (value, known[name][1] if name in known and known[name][0] == value else "attribute")
                for name, value in values.items()
                if name not in ("pre_hooks", "post_hooks", "suffix")  # stpipe sets the last one itself
            }
        )

    @property
    def _directory(self) -> Path:
        from tweakreg.observatory.output import output_folder

        return output_folder(self.search_attr("output_dir"), self.output_file)

    @property
    def _ending(self) -> str:
        return "." + str(self.output_ext).lstrip(".")

    @property
    def _suffix(self) -> str:
        return str(self.suffix or self.default_suffix()).lstrip("_")

    def default_suffix(self) -> str:
        """The results are named after the step, whatever the parameter file calls it."""
        return "tweakreg"

    def _outputs(self, library: Any) -> list[Path]:
        """Where the exposures go."""
        from tweakreg.observatory.output import plan_outputs

        place = self._directory, self._suffix, self.output_file, self._ending
        return plan_outputs(library, *place, in_place=self.in_place)

    def save_model(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Save a library in one go: all of its results, or none."""
        if not isinstance(model, AbstractModelLibrary):
            return super().save_model(model, *args, **kwargs)
        from tweakreg.observatory.output import save_library

        model = model if self.result is None else self.result.library  # not the class that goes on to the next step
        try:
            self._saved = save_library(
                model, self._outputs(model), self._suffix, self.output_file, in_place=self.in_place
            )
            return self._saved
        except TweakRegError as error:
            raise as_exit(error) from error
        except ENDINGS as ending:
            raise ended(ending, "interrupted while saving: none of the results is written") from ending

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        normalise(kwargs)
        self._known_origins: dict[str, tuple[Any, str]] = {}
        try:
            super().__init__(*args, **kwargs)
        except ValidationError as error:
            raise as_exit(parameter_error(error)) from None
        self._own_names = set(vars(self)) | {"input_dir", "suffix", "log", "qualified_name", "config_file"}
        given = dict.fromkeys(kwargs, "command line or keyword")
        self._known_origins = {name: (value, given.get(name, "default")) for name, value in self.get_pars().items()}

    @classmethod
    def from_config_section(cls, config: ConfigObj, *args: Any, **kwargs: Any) -> TweakRegStep:
        """Create the step from a configuration; a wrong value is one sentence and not a page."""
        restore_values(config, cls.load_spec_file())
        normalise(config)
        origins = origins_of(config, kwargs.get("config_file"))
        try:
            step = super().from_config_section(config, *args, **kwargs)
            step._own_names |= set(vars(step))
            step._known_origins = {
                name: (value, origins.get(name, "default")) for name, value in step.get_pars().items()
            }
            return step  # type: ignore[no-any-return]
        except ValidationError as error:
            problem = parameter_error(error)
            log.error("%s", problem)
            raise as_exit(problem) from None

    @classmethod
    def load_spec_file(cls, *args: Any, **kwargs: Any) -> ConfigObj:
        """The spec; ``strun`` asks for it before it reads the values on its command line."""
        spec = super().load_spec_file(*args, **kwargs)
        refuse_unreadable(spec)
        return spec

    @classmethod
    def get_config_from_reference(
        cls, dataset: Any, disable: bool | None = None, crds_observatory: str | None = None
    ) -> ConfigObj:
        """Parameters for the data set from CRDS, the packaged files or a folder; see `tweakreg.steppars`."""
        if get_disable_crds_steppars(disable):
            log.info("Parameter reference files are switched off: the defaults apply")
            return ConfigObj()
        header = dataset if isinstance(dataset, dict) else cls._get_crds_parameters(dataset)[0]
        try:
            path = parameter_file(header) if header else None
            known = set(cls.load_spec_file())
            config = ConfigObj() if path is None else ConfigObj(read_parameters(path, known))
        except TweakRegError as error:
            log.error("%s", error)  # strun says nothing of an error before the step runs
            raise as_exit(error) from error
        # The object is handed on, and what comes from elsewhere is merged into it.
        config.reference = (path, dict(config))
        return config

    @classmethod
    def build_config(cls, input: Any, **kwargs: Any) -> tuple[ConfigObj, str | None]:
        """The configuration for an input; see stpipe. Its file may be meant to be in input_dir."""
        if not isinstance(input, (str, bytes, type(None))) or kwargs.get("input_dir"):
            # Also because stpipe asks whether it is true, which an array does not say.
            input = cls._get_crds_parameters(input, str(kwargs.get("input_dir") or ""))[0] or None
        config, path = super().build_config(input, **kwargs)
        config.given = frozenset(kwargs)
        return config, path

    @classmethod
    def _get_crds_parameters(cls, dataset: Any, input_dir: str = "") -> tuple[dict[str, Any], str]:
        from tweakreg.observatory.crds import known_parameters

        is_header = isinstance(dataset, dict) and "meta.instrument.name" in dataset
        header = dataset if is_header else known_parameters(dataset, input_dir)
        return header, observatory_of(header)

    @staticmethod
    def get_stpipe_loggers() -> tuple[str, ...]:
        """Loggers that stpipe sends to the terminal."""
        return ("tweakreg", "stpipe", "stcal", "stdatamodels", "CRDS", "py.warnings")

    @classmethod
    def _datamodels_open(cls, init: Any, **kwargs: Any) -> Any:
        from tweakreg.observatory.library import ModelLibrary

        return ModelLibrary(init, **kwargs)
