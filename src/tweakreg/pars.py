"""Where the parameters of a data set come from before the user has a say."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


def crds_is_configured() -> bool:
    """Whether the user's environment points to a CRDS server or cache."""
    return bool(os.environ.get("CRDS_SERVER_URL") or os.environ.get("CRDS_PATH"))


def from_crds(look_up: Callable[[], T], otherwise: T) -> T:
    """Look a parameter reference file up, whatever state CRDS is in.

    Parameters
    ----------
    look_up : callable
    otherwise : object
        Returned where CRDS is not configured or does not answer.
    """
    if not crds_is_configured():
        return otherwise
    os.environ.setdefault("CRDS_CLIENT_TIMEOUT_SECONDS", "5")
    try:
        return look_up()
    except (Exception, SystemExit) as error:  # crds ends the process where it finds neither server nor cache
        log.warning("CRDS has no parameters for this data set (%s): the defaults apply", error)
        return otherwise
