"""The option that chooses modules by their names."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator


def _compiles(expression: str) -> str:
    try:
        re.compile(expression)
    except re.error as error:
        raise ValueError(f"it is not a regular expression: {error}") from None
    return expression


Expression = Annotated[str, AfterValidator(_compiles)]
"""A regular expression, searched for in the names of modules."""
