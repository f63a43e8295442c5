"""Sizes, times and amounts of money as people write them: `4GiB`, `1h30m`, `$20`."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]?)(i?)(B?)\s*", re.IGNORECASE)
_TIME_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.IGNORECASE)
_AMOUNT = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?|\.\d+")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_POWERS = " KMGTP"


def parse_size(value: object) -> int:
    """Return bytes for a size such as `512MiB`, `4G` (both powers of 1024) or `4GB` (a power of 1000).

    Raises:
        ValueError: It is no such size; a bare number above 0 is none, because its unit would be a guess.
    """
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if value == 0 and not isinstance(value, bool):
        return 0
    if match is None or not (match[2] or match[4]):
        message = f"{value!r} is no size with a unit; write for example '4GiB' or '500MB'"
        raise ValueError(message)
    decimal = match[2] and match[4] and not match[3]
    return int(float(match[1]) * (1000 if decimal else 1024) ** _POWERS.index(match[2].upper() or " "))


def parse_seconds(value: object) -> float:
    """Return seconds for a time such as `90`, `1.5`, `90s`, `15m`, `1h30m` or `2d`.

    Raises:
        ValueError: It is no such time, or not above 0.
    """
    seconds = _seconds(value)
    if not 0 < seconds < float("inf"):
        message = f"{value!r} is no time above 0; write seconds, or for example '15m' or '1h30m'"
        raise ValueError(message)
    return seconds


def parse_dollars(value: object) -> float:
    """Return US dollars for an amount such as `20`, `0.5` or `$20`.

    Raises:
        ValueError: It is no such amount, or not above 0.
    """
    text = str(value).strip().removeprefix("$")
    is_amount = not isinstance(value, bool) and _AMOUNT.fullmatch(text) is not None
    if not is_amount or not 0 < (dollars := float(text)) < float("inf"):
        message = f"{value!r} is no amount of US dollars above 0; write for example 20 or 0.5"
        raise ValueError(message)
    return dollars


def _seconds(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = str(value).replace(" ", "")
    parts = _TIME_PART.findall(text)
    if "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)
    try:
        return float(text)
    except ValueError:
        return 0.0
