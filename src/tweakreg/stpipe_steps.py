"""What stpipe is told about this package; read by every `strun`, so it imports nothing."""

from importlib.metadata import PackageNotFoundError, distribution


def get_steps() -> list[tuple[str, str | None, bool]]:
    """Steps as (class, alias, is it a pipeline).

    The alias belongs to the calibration packages where one of them is installed:
    stpipe refuses an alias that two packages claim. The class path works everywhere.
    """
    alias = None if _installed("jwst") or _installed("romancal") else "tweakreg"
    return [("tweakreg.TweakRegStep", alias, False)]


def _installed(name: str) -> bool:
    # Not find_spec: a folder of that name in the current directory is no installation.
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
