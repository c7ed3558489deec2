"""The step: a thin shell around `tweakreg.pipeline.run` that speaks stpipe."""

from __future__ import annotations

import logging
from dataclasses import replace
from os.path import expandvars
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from stpipe import Step
from stpipe.config_parser import ConfigObj, load_config_file
from stpipe.exceptions import StpipeExitException, ValidationError
from stpipe.library import AbstractModelLibrary
from stpipe.step import get_disable_crds_steppars

from tweakreg.errors import OutputError, ParameterError, ParameterFileError, TweakRegError
from tweakreg.parameters import explain, make_config, normalise
from tweakreg.spec import SPEC
from tweakreg.steppars import parameter_file

if TYPE_CHECKING:
    from tweakreg.pipeline.save import Run
    from tweakreg.results.tree import Origins

log = logging.getLogger(__name__)


class TweakRegStep(Step):
    """Align exposures to each other and to a reference catalog.

    The input is an association, or one or several calibrated exposures.
    """

    class_alias = "tweakreg"
    spec = SPEC
    save_results: bool
    _done: Run | None
    _saved: list[Path]
    _started: float

    def process(self, *inputs: Any) -> AbstractModelLibrary:
        """Align exposures.

        Parameters
        ----------
        *inputs : str, Path, dict, datamodel, list or library
            An association, one exposure, or several.

        Returns
        -------
        ModelLibrary
            The exposures with corrected WCS and ``meta.cal_step.tweakreg``. Inputs are not changed.

        Raises
        ------
        TweakRegError
            Parameters or files that cannot be used; under ``strun`` one sentence and exit code 1.
        """
        from tweakreg.observatory.library import open_library
        from tweakreg.observatory.output import plan_outputs, run_name
        from tweakreg.pipeline import run
        from tweakreg.pipeline.reference import known_reference
        from tweakreg.pipeline.save import Run

        try:
            config = make_config(self.get_pars())
            library = open_library(inputs, on_disk=not self.in_memory, input_dir=self.input_dir or "")
            filenames = None
            if self.save_results:
                outputs = plan_outputs(library, self._directory, self._suffix, self.output_file, self._ending)
                filenames = [path.name for path in outputs]
            reference = known_reference(config)
            exposures = run.measure(library, config, self._directory)
            alignment = run.align_exposures(exposures, reference, config)
            done = run.apply(library, exposures, alignment, config, filenames, self._origins())
            if not self.save_results:
                config = replace(config, save_fit_summary=False)
            name = run_name(library, self._suffix, self.output_file)
            self._done = Run(name=name, directory=self._directory, config=config, alignment=alignment, done=done)
            if config.dry_run:
                log.info("dry_run: no exposure is changed or written")
                self.save_results = False
        except TweakRegError as error:
            raise _as_exit(error) from error
        except KeyboardInterrupt as interruption:
            raise Interrupted("interrupted: no exposure is written, inputs are as they were") from interruption
        return library

    def run(self, *args: Any) -> Any:
        """Run the step; see `process`. An output folder that is none is found before anything else."""
        self._done, self._saved, self._started = None, [], perf_counter()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"output_dir = {self._directory} cannot be used as a folder: {error.strerror}"
            raise _as_exit(OutputError(problem)) from error
        saves = bool(self.save_results)
        try:
            result = super().run(*args)
            # Last, so that no table tells of exposures that could not be saved.
            failed: list[str] = [] if self._done is None else self._write_about()
        except TweakRegError as error:
            if isinstance(error, StpipeExitException):
                raise
            raise _as_exit(error) from error
        finally:
            self.save_results, self._done = saves, None
        if failed and self.on_failure == "error":
            from tweakreg.report.lines import counted

            some = ", ".join(failed[:3]) + (" and others" if len(failed) > 3 else "")
            raise AlignmentFailedError(
                f"{counted(len(failed), 'image')} could not be aligned: {some}; all results are written"
            )
        return result

    def _write_about(self) -> list[str]:
        """Write what tells of the run, and say in a few lines how it ended; the images that failed."""
        from tweakreg.pipeline.save import save_all
        from tweakreg.report.lines import summary_lines

        done = self._done
        assert done is not None
        try:
            written = save_all(done)
        except KeyboardInterrupt as interruption:
            number = len(self._saved)
            done_so_far = "all exposures are written" if number else "no exposure was to be written"
            raise Interrupted(f"interrupted: {done_so_far}, what tells of the run is not complete") from interruption
        failed = [tree["name"] for tree in done.trees if tree["status"] != "COMPLETE"]
        for line in summary_lines(done.trees, [*self._saved, *written], perf_counter() - self._started):
            log.log(logging.WARNING if failed else logging.INFO, "%s", line)
        return failed

    def _origins(self) -> Origins:
        """Every parameter and where its value came from; "attribute" was set on the step itself."""
        from tweakreg.results.tree import Origins

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
        return Path(expandvars(self.search_attr("output_dir") or ".")).expanduser()

    @property
    def _ending(self) -> str:
        return "." + str(self.output_ext).lstrip(".")

    @property
    def _suffix(self) -> str:
        return str(self.suffix or self.default_suffix()).lstrip("_")

    def default_suffix(self) -> str:
        """The results are named after the step, whatever the parameter file calls it."""
        return "tweakreg"

    def save_model(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Save a library in one go: all of its results, or none."""
        if not isinstance(model, AbstractModelLibrary):
            return super().save_model(model, *args, **kwargs)
        from tweakreg.observatory.output import plan_outputs, save_library

        try:
            outputs = plan_outputs(model, self._directory, self._suffix, self.output_file, self._ending)
            self._saved = save_library(model, outputs, self._suffix, self.output_file)
            return self._saved
        except TweakRegError as error:
            raise _as_exit(error) from error
        except KeyboardInterrupt as interruption:
            raise Interrupted("interrupted while saving: none of the results is written") from interruption

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        normalise(kwargs)
        self._known_origins: dict[str, tuple[Any, str]] = {}
        try:
            super().__init__(*args, **kwargs)
        except ValidationError as error:
            raise _as_exit(_parameter_error(error)) from None
        given = dict.fromkeys(kwargs, "command line or keyword")
        self._known_origins = {name: (value, given.get(name, "default")) for name, value in self.get_pars().items()}

    @classmethod
    def from_config_section(cls, config: ConfigObj, *args: Any, **kwargs: Any) -> TweakRegStep:
        """Create the step from a configuration; a wrong value is one sentence and not a page."""
        normalise(config)
        origins = _origins_of(config, kwargs.get("config_file"))
        try:
            step = super().from_config_section(config, *args, **kwargs)
            step._known_origins = {
                name: (value, origins.get(name, "default")) for name, value in step.get_pars().items()
            }
            return step  # type: ignore[no-any-return]
        except ValidationError as error:
            problem = _parameter_error(error)
            log.error("%s", problem)
            raise _as_exit(problem) from None

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
            config = ConfigObj() if path is None else _read_parameter_file(path, set(cls.load_spec_file()))
        except TweakRegError as error:
            log.error("%s", error)  # strun says nothing of an error before the step runs
            raise _as_exit(error) from error
        # The object is handed on, and what comes from elsewhere is merged into it.
        config.reference = (path, dict(config))
        return config

    @classmethod
    def build_config(cls, input: Any, **kwargs: Any) -> tuple[ConfigObj, str | None]:
        """The configuration for an input; see stpipe. Its file may be meant to be in input_dir."""
        if kwargs.get("input_dir") and input:
            input = cls._get_crds_parameters(input, str(kwargs["input_dir"]))[0] or input
        return super().build_config(input, **kwargs)  # type: ignore[no-any-return]

    @classmethod
    def _get_crds_parameters(cls, dataset: Any, input_dir: str = "") -> tuple[dict[str, Any], str]:
        from tweakreg.observatory.crds import crds_parameters

        if isinstance(dataset, dict) and "meta.instrument.name" in dataset:
            return dataset, "jwst"
        try:
            return crds_parameters(dataset, input_dir), "jwst"
        except Exception as error:  # what is wrong with the input is said when it is opened
            log.debug("no parameter reference file is sought, as the input cannot be read: %s", error)
            return {}, "jwst"

    @staticmethod
    def get_stpipe_loggers() -> tuple[str, ...]:
        """Loggers that stpipe sends to the terminal."""
        return ("tweakreg", "stpipe", "stcal", "stdatamodels", "CRDS", "py.warnings")

    @classmethod
    def _datamodels_open(cls, init: Any, **kwargs: Any) -> Any:
        from tweakreg.observatory.library import ModelLibrary

        return ModelLibrary(init, **kwargs)


class Interrupted(KeyboardInterrupt, StpipeExitException):
    """Ctrl-C: strun ends with the shell's exit code for it, 130, and no traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._exit_status = 130


def _read_parameter_file(path: Path, known: set[str]) -> ConfigObj:
    """A parameter reference file without what this version does not know."""
    try:
        config = load_config_file(str(path))
    except Exception as error:  # configobj, asdf and yaml each raise their own
        raise ParameterFileError(f"{path}: cannot be read as a parameter reference file ({error})") from error
    if not str(config.get("class", "TweakRegStep")).endswith("TweakRegStep"):
        raise ParameterFileError(f"{path}: holds parameters of {config['class']}, not of TweakRegStep")
    hooks = {"pre_hooks", "post_hooks"}  # commands are not a reference file's to give
    for name in [name for name in config if name not in (known | {"class", "name"}) - hooks]:
        if name not in hooks or config[name]:
            log.warning("%s: parameter '%s' does not exist here and is left out", path.name, name)
        del config[name]
    for name, value in config.items():
        if isinstance(value, dict):
            raise ParameterFileError(f"{path}: parameter '{name}' must be a value, not a section")
    return config


def _origins_of(config: ConfigObj, config_file: str | None) -> dict[str, str]:
    """Which file, if any, gave each value of a configuration."""
    reference, reference_values = getattr(config, "reference", ("", {}))
    file_values = dict(load_config_file(str(config_file))) if config_file else {}
    reference_values = dict(reference_values)
    normalise(file_values)
    normalise(reference_values)
    origins = {}
    for name, value in config.items():
        if name in file_values and str(file_values[name]) == str(value):
            origins[name] = f"parameter file {config_file}"
        elif name in reference_values and str(reference_values[name]) == str(value):
            origins[name] = f"reference file {Path(reference).name}"
        else:
            origins[name] = "command line or keyword"
    return origins


class AlignmentFailedError(TweakRegError, StpipeExitException):
    """Images could not be aligned and on_failure is error; strun ends with exit code 3 after everything is saved."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)
        self._exit_status = 3


def _parameter_error(error: ValidationError) -> ParameterError:
    """The validator's message in terms of the parameter."""
    lines = [explain(line) for line in str(error).splitlines() if line.strip()]
    return ParameterError.of_message("; ".join(lines))


def _as_exit(error: TweakRegError) -> TweakRegError:
    """The same error, also an `StpipeExitException`: strun then ends with code 1 and no traceback.

    Callers in Python still catch it by its own class, such as `ParameterError`.
    """
    kind = type(error)
    both = type(kind.__name__, (kind, StpipeExitException), {"__module__": kind.__module__, "__init__": _copy_error})
    return cast(TweakRegError, both(error))


def _copy_error(self: Any, error: TweakRegError) -> None:
    Exception.__init__(self, *error.args)
    self.__dict__.update(error.__dict__)
    self._exit_status = 1
