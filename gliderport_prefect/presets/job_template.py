"""One job described once, for many rows.

What the row does not change is read once; what it does change is read for each row by the same rules as a job that
somebody wrote by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.paths import absolute_paths
from gliderport_prefect.presets.placeholders import Language, compile_text
from gliderport_prefect.protocol.ids import parse_job_id
from gliderport_prefect.protocol.jobspec import JobSpec
from gliderport_prefect.protocol.notation import parse_job

Render = Callable[[Sequence[str]], Any]
"""Makes a written value for a row."""

_LANGUAGES = {"run": Language.SHELL, "python": Language.PYTHON}
_NUMBERS = re.compile(r"(retries|priority|retry_on|ports)(\[\d+\])?|resources\.(cpus|gpus)")
_FIELDS = {"timeout": "timeout_seconds", "grace": "grace_seconds"}
_STAND_IN = "x"
_QUICK = {"id", "run"}


@dataclass(frozen=True)
class JobTemplate:
    """A compiled template."""

    constant: Mapping[str, Any]
    """Fields of the spec that are the same for every row."""
    varying: Mapping[str, Render]
    """Job keys that the row changes."""
    required: Mapping[str, Any]
    """Of id and command, which every job must have, what the row does not change."""
    folder: Path
    """Relative paths begin here."""

    def make(self, values: Sequence[str]) -> JobSpec:
        """Return the job of the row.

        Raises:
            UserError: With this row's values it is no job.
        """
        written: dict[str, Any] = {key: render(values) for key, render in self.varying.items()}
        if written.keys() <= _QUICK and _is_script(written.get("run", _STAND_IN)):
            # Most templates vary only these two, and reading them by hand makes a million rows twice as fast. What
            # is wrong with an id, the usual way says.
            with suppress(UserError):
                written["id"] = parse_job_id(written.get("id", self.constant["id"]))
                return JobSpec(**{**self.constant, **written})
        written.update(self.required)
        spec = parse_job(written)
        if "inputs" in written or "outputs" in written:
            spec = absolute_paths(spec, self.folder)
        changed = {name: getattr(spec, name) for name in (_FIELDS.get(key, key) for key in written)}
        return JobSpec(**{**self.constant, **changed})


def compile_job(written: Mapping[str, Any], columns: Sequence[str], *, folder: Path) -> JobTemplate:
    """Return the compiled template.

    Args:
        written: A job as people write it, with placeholders in any text.
        columns: Names of a row's values, in order.
        folder: Where relative paths begin.

    Raises:
        UserError: A key is unknown, a placeholder names no column, or a part that no row changes is wrong.
    """
    varying: dict[str, Render] = {}
    plain: dict[str, Any] = {}
    for key, value in written.items():
        render = _compile_value(value, columns, path=key)
        if _varies(value, columns):
            varying[key] = render
        else:
            plain[key] = render(())
    required = {key: plain[key] for key in ("id", *_LANGUAGES) if plain.get(key) is not None}
    return JobTemplate(_read_constant(plain, varying, folder=folder), varying, required, folder)


def _read_constant(plain: dict[str, Any], varying: Mapping[str, Render], *, folder: Path) -> dict[str, Any]:
    """Return the fields of a spec in which stand-ins take the place of what rows change."""
    stand_ins = {key: _STAND_IN for key in ("id", *_LANGUAGES) if key in varying}
    unknown_to_all = {key: None for key in varying if key not in stand_ins}
    spec = absolute_paths(parse_job({**stand_ins, **unknown_to_all, **plain}), folder)
    return {each.name: getattr(spec, each.name) for each in fields(spec)}


def _is_script(text: object) -> bool:
    return isinstance(text, str) and "\0" not in text and not text.isspace() and text != ""


# --- values -----------------------------------------------------------------------------------------------------


def _compile_value(value: object, columns: Sequence[str], *, path: str) -> Render:
    if isinstance(value, str):
        return _compile_leaf(value, columns, path=path)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        each_of = [_compile_value(each, columns, path=f"{path}[{at}]") for at, each in enumerate(items)]
        return lambda values: [render(values) for render in each_of]
    if isinstance(value, Mapping):
        mapping = cast("Mapping[str, Any]", value)
        parts = {name: _compile_value(each, columns, path=f"{path}.{name}") for name, each in mapping.items()}
        return lambda values: {name: render(values) for name, render in parts.items()}
    return lambda _: value


def _compile_leaf(value: str, columns: Sequence[str], *, path: str) -> Render:
    language = _LANGUAGES.get(path.partition("[")[0], Language.PLAIN)
    try:
        text = compile_text(value, columns, language=language)
    except UserError as error:
        raise UserError(error.message, key=path, hint=error.hint) from None
    if _NUMBERS.fullmatch(path):
        return lambda values: _as_number(text.render(values))
    return text.render


def _varies(value: object, columns: Sequence[str]) -> bool:
    if isinstance(value, str):
        return bool(compile_text(value, columns).uses)
    if isinstance(value, Mapping):
        value = list(cast("Mapping[str, Any]", value).values())
    return isinstance(value, list) and any(_varies(each, columns) for each in cast("list[Any]", value))


def _as_number(text: str) -> int | float | str:
    """Return the number that the text spells; a table's values are text where a job wants numbers."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
