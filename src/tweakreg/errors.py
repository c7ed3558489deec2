"""What can go wrong through the user's input. Inside the package an outcome is a value, not an exception."""


class TweakRegError(Exception):
    """Base class of every error that the package raises on purpose."""


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
        super().__init__(f"Parameter '{name}' = {value!r}: {remedy}")
        self.name = name
        self.value = value
        self.remedy = remedy

    @classmethod
    def of_message(cls, message: str) -> "ParameterError":
        """An error with a message that names the parameter already."""
        error = cls.__new__(cls)
        Exception.__init__(error, message)
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


class OutputError(TweakRegError):
    """The results cannot be written where they were to go."""


class ServiceError(TweakRegError):
    """A catalog service did not answer with a catalog."""


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
