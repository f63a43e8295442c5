"""What a job tells of itself: a small JSON object that becomes columns of the results table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "GLIDERPORT_RESULT"
"""Names the file to the job."""
_LONGEST_BYTES = 64 * 1024


def path_of(tmp: str) -> str:
    """Return where the job of an attempt with that temporary folder may write its result."""
    return f"{tmp}.result.json"


def read_result(tmp: str) -> tuple[dict[str, Any], str]:
    """Return what the job wrote, and why it cannot be used if it cannot; both empty when it wrote nothing."""
    if not os.path.exists(path_of(tmp)):
        return {}, ""
    try:
        with Path(path_of(tmp)).open("rb") as file:
            text = file.read(_LONGEST_BYTES + 1)
    except OSError:
        return {}, ""
    if len(text) > _LONGEST_BYTES:
        return {}, f"${VARIABLE} holds more than {_LONGEST_BYTES // 1024} KiB and was left out"
    try:
        # NaN and infinities are no JSON; as text they do no harm to whoever reads the table.
        result = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError) as error:
        return {}, f"${VARIABLE} holds no JSON and was left out: {error}"
    if not isinstance(result, dict):
        return {}, f"${VARIABLE} holds no JSON object and was left out"
    return {str(key): value for key, value in result.items()}, ""  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
