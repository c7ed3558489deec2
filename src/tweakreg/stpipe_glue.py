"""Between the step and stpipe: exit codes, the validator's words, and where the value of a parameter came from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from stpipe.config_parser import ConfigObj, load_config_file
from stpipe.exceptions import StpipeExitException, ValidationError

from tweakreg.errors import ParameterError, TweakRegError, logger
from tweakreg.parameters import explain, normalise
from tweakreg.process import Terminated

log = logger(__name__)


class Interrupted(KeyboardInterrupt, StpipeExitException):
    """Ctrl-C: strun ends with the shell's exit code for it, 130, and no traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._exit_status = 130


class Ended(Terminated, StpipeExitException):
    """SIGTERM: strun ends with exit code 143, and no traceback."""

    exit_status = Terminated.exit_status


#: What ends a run from outside.
ENDINGS = (KeyboardInterrupt, Terminated)


def ended(ending: BaseException, message: str) -> BaseException:
    """What strun makes an exit code of, with a message, after one of `ENDINGS`."""
    return Ended(message) if isinstance(ending, Terminated) else Interrupted(message)


def origins_of(config: ConfigObj, config_file: str | None) -> dict[str, str]:
    """Which file, if any, gave each value of a configuration."""
    reference, reference_values = getattr(config, "reference", ("", {}))
    file_values = dict(load_config_file(str(config_file))) if config_file else {}
    reference_values = dict(reference_values)
    normalise(file_values)
    normalise(reference_values)
    given = getattr(config, "given", frozenset()) | _command_line(config).keys()
    origins = {}
    for name, value in config.items():
        if name in given:  # also where a file says the same
            origins[name] = "command line or keyword"
        elif name in file_values and str(file_values[name]) == str(value):
            origins[name] = f"parameter file {config_file}"
        elif name in reference_values and str(reference_values[name]) == str(value):
            origins[name] = f"reference file {Path(reference).name}"
        else:
            origins[name] = "command line or keyword"
    return origins


def _command_line(names: Iterable[str]) -> dict[str, str]:
    """Values of parameters as they stand on the command line of ``strun``; empty in any other program."""
    if not sys.argv or Path(sys.argv[0]).name.removesuffix(".exe") != "strun":
        return {}
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS, exit_on_error=False)
    for name in names:
        parser.add_argument(f"--{name}")
    try:
        return vars(parser.parse_known_args(sys.argv[1:])[0])
    except argparse.ArgumentError:  # stpipe's own parser says what is wrong
        return {}


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def refuse_unreadable(spec: ConfigObj) -> None:
    """Refuse values on the command line at which stpipe's reader of configurations would end with a traceback.

    Raises
    ------
    ParameterError
        A value begins or ends with a blank or a single quote, or has what ConfigObj takes for another parameter.
    """
    for name, text in _command_line(spec).items():
        half_quoted = text[:1] in ("'", '"') and not _is_quoted(text)
        if text != text.strip() or half_quoted or "%(" in text:
            remedy = "strun cannot read a value with blanks or a quotation mark at its ends, or with '%('"
            problem = as_exit(ParameterError(name, text, f"{remedy}: rename the file, or use a parameter file"))
            log.error("%s", problem)
            raise problem


def restore_values(config: ConfigObj, spec: ConfigObj) -> None:
    """Take values as they stand on the command line: stpipe reads '#' as a comment, and a comma as a list.

    Parameters
    ----------
    config : ConfigObj
        Changed.
    spec : ConfigObj
        What is a list there stays one; so does what is in quotation marks, which say the same.
    """
    for name, text in _command_line(name for name in spec if "list(" not in str(spec[name])).items():
        if name in config and not _is_quoted(text) and str(config[name]) != text:
            log.debug("%s is taken as it stands: %s", name, text)
            config[name] = text


def parameter_error(error: ValidationError) -> ParameterError:
    """The validator's message in terms of the parameter."""
    lines = [explain(line) for line in str(error).splitlines() if line.strip()]
    return ParameterError.of_message("; ".join(lines))


def as_exit(error: TweakRegError) -> TweakRegError:
    """The same error, also an `StpipeExitException`: strun then ends with its code and no traceback.

    Callers in Python still catch it by its own class, such as `ParameterError`.
    """
    if isinstance(error, StpipeExitException):
        return cast(TweakRegError, error)
    kind = type(error)
    both = type(kind.__name__, (kind, StpipeExitException), {"__module__": kind.__module__, "__init__": _copy_error})
    return cast(TweakRegError, both(error))


def _copy_error(self: Any, error: TweakRegError) -> None:
    Exception.__init__(self, *error.args)
    self.__dict__.update(error.__dict__)
    self._exit_status = error.exit_status
