"""What can go wrong through the user's input. Inside the package an outcome is a value, not an exception."""

from __future__ import annotations

import logging
from typing import Any

#: Letters of a value in a message.
_LONGEST_VALUE = 200


def first_line(error: BaseException) -> str:
    """What an error of another package says, in one line: its kind if it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable((lines or [type(error).__name__])[0])


def printable(text: str) -> str:
    """A text whose control characters are spelled out: names in files may hold codes that a terminal obeys."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


class _Printable(logging.Filter):
    """Spells out the control characters in what a log line is about: files, products and targets have any names."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change what would reach a terminal raw; every line passes."""
        if isinstance(record.args, tuple):
            record.args = tuple(_spelled(each) for each in record.args)
        record.msg = _spelled(record.msg)
        return True


def _spelled(value: Any) -> Any:
    """A value as it is, or its text where that could steer a terminal."""
    text = str(value)
    spelled = printable(text)
    return value if spelled == text else spelled


_PRINTABLE = _Printable()


def logger(name: str) -> logging.Logger:
    """The logger of a module, whose lines can be shown on a terminal.

    Parameters
    ----------
    name : str
        The module's.
    """
    found = logging.getLogger(name)
    found.addFilter(_PRINTABLE)
    return found


class TweakRegError(Exception):
    """Base class of every error that the package raises on purpose; its message can be shown on a terminal.

    Parameters
    ----------
    *arguments : object
        The message.

    Attributes
    ----------
    exit_status : int
        With which ``strun`` ends.
    """

    exit_status = 1

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*(printable(each) if isinstance(each, str) else each for each in arguments))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[TweakRegError], arguments: tuple[Any, ...], state: dict[str, Any]) -> TweakRegError:
    """An error as another process raised it; its own `__init__` takes other arguments than the message."""
    error = kind.__new__(kind)
    Exception.__init__(error, *arguments)
    error.__dict__.update(state)
    return error


def _shown(value: object) -> str:
    """A value as Python writes it, but in a sentence: no list of thousands, no number of as many digits."""
    try:
        text = repr(value)
    except ValueError:
        return f"({type(value).__name__} of very many digits)"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


class ParameterError(TweakRegError, ValueError):
    """A parameter has a value that cannot be used.

    Parameters
    ----------
    name : str
        Name of the parameter, as in the step's spec.
    value : object
        The value that was given.
    remedy : str
        What would be right.
    """

    def __init__(self, name: str, value: object, remedy: str) -> None:
        super().__init__(f"Parameter '{name}' = {_shown(value)}: {remedy}")
        self.name = name
        self.value = value
        self.remedy = remedy

    @classmethod
    def of_message(cls, message: str) -> ParameterError:
        """An error with a message that names the parameter already."""
        error = cls.__new__(cls)
        TweakRegError.__init__(error, message)
        error.name, error.value, error.remedy = "", None, message
        return error


class InputError(TweakRegError, ValueError):
    """A file that the user named is missing, broken or of the wrong kind.

    Parameters
    ----------
    path : object
        The file.
    problem : str
        What is wrong with it, and what to do.
    """

    def __init__(self, path: object, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = str(path)
        self.problem = problem


class AssociationError(InputError):
    """An association does not follow the schema; the message names file and field."""


class CatalogError(InputError):
    """A source or reference catalog cannot be used."""


class ParameterFileError(TweakRegError):
    """A parameter reference file cannot be read, or the place where it is sought does not exist."""


class CorrectionError(InputError):
    """A correction cannot be read, or does not belong to the WCS that it is to be applied to."""


class OutputError(TweakRegError):
    """The results cannot be written where they were to go."""


class ServiceError(TweakRegError):
    """A catalog service did not answer with a catalog."""


class WorkerError(TweakRegError):
    """A process that was to help could not be started, or was killed."""


class AlignmentFailedError(TweakRegError):
    """Images could not be aligned and on_failure is 'error'; strun ends with exit code 3 after everything is saved.

    Parameters
    ----------
    message : str
        Which images.
    result : object
        What the run found all the same; None where it is to be had elsewhere.
    """

    exit_status = 3

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class WCSError(TweakRegError):
    """A WCS has no frame in which it could be corrected."""


class SingularFitError(TweakRegError):
    """The matched stars do not determine the transformation.

    Parameters
    ----------
    geometry : str
        The fit geometry.
    n_points : int
        Number of matched stars.
    condition : float
        Smallest divided by largest extent of the stars, 0 for a line.
    """

    def __init__(self, geometry: str, n_points: int, condition: float) -> None:
        super().__init__(f"{n_points} stars (short ÷ long extent {condition:.2g}) do not determine a '{geometry}' fit")
        self.geometry = geometry
        self.n_points = n_points
        self.condition = condition
