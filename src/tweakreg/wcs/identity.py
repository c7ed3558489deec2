"""Telling WCS apart."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def wcs_hash(wcs: Any) -> str:
    """A short text that two WCS share only if they have the same frames, models and parameters.

    Parameters
    ----------
    wcs : gwcs.WCS
        Its name and bounding box do not count.

    Returns
    -------
    str
        32 hexadecimal digits, the same after every save.
    """
    digest = hashlib.sha256()
    for step in wcs.pipeline:
        digest.update(str(step.frame.name).encode())
        if step.transform is None:
            continue
        models = step.transform if step.transform.n_submodels > 1 else [step.transform]
        digest.update(" ".join(type(model).__name__ for model in models).encode())
        digest.update(np.ascontiguousarray(step.transform.parameters, dtype="<f8").tobytes())
    return digest.hexdigest()[:32]
