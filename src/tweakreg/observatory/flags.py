"""Which pixels are unusable, by their data quality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tweakreg.errors import ParameterError, first_line
from tweakreg.plane import Bools


def unusable(dq: NDArray[np.integer], dqbits: str, names: Mapping[str, int]) -> Bools:
    """Pixels that have a bit set which does harm.

    Parameters
    ----------
    dq : (ny, nx) int array
        Data quality.
    dqbits : str
        Bits that do no harm, as astropy's bitmasks are written: a number, numbers or names of bits joined by commas
        or plus signs, or these after a tilde for all but them.
    names : mapping of str to int
        What the bits are called.

    Raises
    ------
    ParameterError
        dqbits cannot be read.
    """
    from astropy.nddata.bitmask import bitfield_to_boolean_mask, extend_bit_flag_map

    known = extend_bit_flag_map("DQ", **{name: int(bit) for name, bit in names.items() if bit})
    try:
        mask = bitfield_to_boolean_mask(dq, ignore_flags=dqbits, flag_name_map=known, good_mask_value=False, dtype=bool)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        remedy = f"{first_line(error)}; bits have numbers, or the names {', '.join(names)}"
        raise ParameterError("dqbits", dqbits, remedy) from None
    return np.asarray(mask, dtype=bool)
