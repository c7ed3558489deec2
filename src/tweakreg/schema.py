"""Holding files and metadata against the packaged schemas."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

#: Letters that are quoted of a value.
_LONGEST = 80


def violation(value: Any, schema: str) -> Any:
    """The most telling way in which a value breaks a schema.

    Parameters
    ----------
    value : object
        Of the types that JSON has.
    schema : str
        Name in ``schemas/``, without ``.schema.json``.

    Returns
    -------
    jsonschema.ValidationError or None
    """
    import jsonschema

    text = files("tweakreg.schemas").joinpath(f"{schema}.schema.json").read_text(encoding="utf-8")
    validator = jsonschema.Draft202012Validator(json.loads(text))
    return jsonschema.exceptions.best_match(validator.iter_errors(value))


def said_of(error: Any) -> str:
    """What is wrong, without the whole of a long value."""
    value, message = repr(error.instance), str(error.message)
    if len(value) > _LONGEST:
        message = message.replace(value, f"{value[:_LONGEST]}...")
    return message if len(message) <= 4 * _LONGEST else f"{message[: 4 * _LONGEST]}..."
