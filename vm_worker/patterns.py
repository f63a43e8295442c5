"""Glob patterns over paths in a working folder: `*` and `?` within one name, `**` across folders, `[a-z]`.

A pattern that names a folder means everything below it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

EVERYTHING = "**"


def matches(pattern: str, path: str) -> bool:
    """Say whether the pattern means that path."""
    return _compile(pattern).fullmatch(path) is not None


def matches_any(patterns: Iterable[str], path: str) -> bool:
    """Say whether one of the patterns means that path."""
    return any(matches(each, path) for each in patterns)


@lru_cache(maxsize=1000)
def _compile(pattern: str) -> re.Pattern[str]:
    segments = [each for each in pattern.split("/") if each not in {"", "."}]
    parts = ["(?:[^/]+/)*" if each == EVERYTHING else f"{_translate_segment(each)}/" for each in segments]
    if segments and segments[-1] == EVERYTHING:
        return re.compile(f"{''.join(parts[:-1])}.+", re.DOTALL)
    return re.compile(f"{''.join(parts).removesuffix('/')}(?:/.+)?", re.DOTALL)


def _translate_segment(segment: str) -> str:
    simple = {"*": "[^/]*", "?": "[^/]"}
    translated, place = "", 0
    while place < len(segment):
        bracket = re.compile(r"\[(!?)(\]?[^\]]*)\]").match(segment, place)
        if bracket:
            escaped = bracket[2].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^").replace("]", r"\]")
            translated += f"[{'^/' if bracket[1] else ''}{escaped}]"
            place = bracket.end()
        else:
            translated += simple.get(segment[place]) or re.escape(segment[place])
            place += 1
    return translated
