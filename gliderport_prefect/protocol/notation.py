"""Job specs as people write them: strict about every key, tolerant about shorthand.

Each problem is a `UserError` whose `key` is the path of the value at fault, so that whoever read the file can add
its name and the line.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from gliderport_prefect.errors import UserError
from gliderport_prefect.protocol.ids import parse_job_id
from gliderport_prefect.protocol.jobspec import Checkpoint, Input, JobSpec, Output
from gliderport_prefect.protocol.quantities import parse_seconds, parse_size
from gliderport_prefect.protocol.resources import Resources

Value = TypeVar("Value")
Reader = Callable[[Any, str], Any]
"""Turns a written value into a field's value; takes the key's path for the message."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PORT_LIMIT = 65536
_RESERVED = "GLIDERPORT_"


def parse_job(written: object, *, default_id: str | None = None) -> JobSpec:
    """Return the job spec that the mapping describes.

    Args:
        written: What a person wrote, as parsed from YAML or JSON.
        default_id: Id of the job when it names none, such as the file's name.

    Raises:
        UserError: A key is unknown, a value has the wrong form, or the parts do not go together.
    """
    mapping = _mapping(written, "", what="a job")
    if "id" not in mapping and default_id is not None:
        mapping = {"id": default_id, **mapping}
    if mapping.get("id") is None:
        message = "the job has no id"
        raise UserError(message, key="id", hint="give it an `id`, unique in its campaign")
    fields = _read_fields(mapping, _JOB, key="")
    _check_command(fields)
    return JobSpec(**fields)


def _check_command(fields: dict[str, Any]) -> None:
    given = [key for key in ("run", "python") if fields.get(key) is not None]
    if len(given) != 1:
        message = "the job has both `run` and `python`" if given else "the job has no command"
        raise UserError(message, key=given[0] if given else None, hint="give exactly one of `run` and `python`")


# --- values -----------------------------------------------------------------------------------------------------


def _text(value: Any, key: str) -> str:
    if isinstance(value, str):
        if "\0" not in value:
            return value
        message = "a NUL character cannot be passed to a command"
        raise UserError(message, key=key)
    raise _wrong(value, key, expected="text")


def _scalar_text(value: Any, key: str) -> str:
    """Return the value as text; YAML reads `1` and `true` as other things than text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else _text(value, key)


def _script(value: Any, key: str) -> str:
    lines = [_text(each, f"{key}[{at}]") for at, each in enumerate(_items(value))] if isinstance(value, list) else None
    script = "\n".join(lines) if lines is not None else _text(value, key)
    if not script.strip():
        message = "the command is empty"
        raise UserError(message, key=key)
    return script


def _whole(least: int, most: float = math.inf) -> Reader:
    def read(value: Any, key: str) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        raise _wrong(value, key, expected=f"a whole number from {least}" + ("" if most == math.inf else f" to {most}"))

    return read


def _cpus(value: Any, key: str) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise _wrong(value, key, expected="a number above 0")


def _items(value: Any) -> list[Any]:
    return value


def _flag(value: Any, key: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(value, key, expected="true or false")


def _quantity(parse: Callable[[object], Value]) -> Reader:
    def read(value: Any, key: str) -> Value:
        try:
            return parse(value)
        except ValueError as error:
            raise UserError(str(error), key=key) from None

    return read


def _job_id(value: Any, key: str) -> str:
    try:
        return parse_job_id(_scalar_text(value, key))
    except UserError as error:
        raise UserError(error.message, key=key) from None


def _many(one: Reader) -> Reader:
    """Read a list; a single value stands for a list of one."""

    def read(value: Any, key: str) -> tuple[Any, ...]:
        if isinstance(value, list):
            return tuple(one(each, f"{key}[{at}]") for at, each in enumerate(_items(value)))
        return (one(value, key),)

    return read


def _named(value: Any, key: str) -> dict[str, str]:
    return {str(name): _scalar_text(each, f"{key}.{name}") for name, each in _mapping(value, key).items()}


def _env(value: Any, key: str) -> dict[str, str]:
    return {_env_name(name, f"{key}.{name}"): each for name, each in _named(value, key).items()}


def _env_name(value: Any, key: str) -> str:
    name = _text(value, key)
    if _ENV_NAME.fullmatch(name) is None or name.startswith(_RESERVED):
        message = f"{name!r} cannot be the name of an environment variable of a job"
        raise UserError(message, key=key, hint=f"use letters, digits and _; names in {_RESERVED}* are ours")
    return name


def _inside(value: Any, key: str) -> str:
    """Return a path that stays in the working folder."""
    path = _text(value, key)
    if path.startswith(("/", "~")) or ".." in path.split("/") or not path.strip("/."):
        message = f"{path!r} does not name a place inside the job's working folder"
        raise UserError(message, key=key, hint="use a relative path without `..`")
    return path


# --- structures -------------------------------------------------------------------------------------------------


def _input(value: Any, key: str) -> Input:
    if isinstance(value, str):
        return Input(source=_source(value, key))
    return Input(**_read_fields(_mapping(value, key), _INPUT, key=key, required=("source",)))


def _source(value: Any, key: str) -> str:
    source = _text(value, key)
    if not source.strip() or source.startswith(("blob:", "tree:")):
        raise _wrong(value, key, expected="a path or URI")
    return source


def _output(value: Any, key: str) -> Output:
    if isinstance(value, str):
        return Output(destination=_text(value, key))
    return Output(**_read_fields(_mapping(value, key), _OUTPUT, key=key))


def _checkpoint(value: Any, key: str) -> Checkpoint:
    if isinstance(value, str):
        return Checkpoint(folder=_inside(value, key))
    return Checkpoint(**_read_fields(_mapping(value, key), _CHECKPOINT, key=key, required=("folder",)))


def _resources(value: Any, key: str) -> Resources:
    return Resources(**_read_fields(_mapping(value, key), _RESOURCES, key=key))


_INPUT: Mapping[str, tuple[str, Reader]] = {
    "source": ("source", _source),
    "target": ("target", _inside),
}
_OUTPUT: Mapping[str, tuple[str, Reader]] = {
    "destination": ("destination", _text),
    "include": ("include", _many(_inside)),
    "exclude": ("exclude", _many(_inside)),
    "keep_on_failure": ("keep_on_failure", _many(_inside)),
}
_CHECKPOINT: Mapping[str, tuple[str, Reader]] = {
    "folder": ("folder", _inside),
    "interval": ("interval_seconds", _quantity(parse_seconds)),
}
_RESOURCES: Mapping[str, tuple[str, Reader]] = {
    "cpus": ("cpus", _cpus),
    "memory": ("memory_bytes", _quantity(parse_size)),
    "disk": ("disk_bytes", _quantity(parse_size)),
    "gpus": ("gpus", _whole(0)),
    "gpu_type": ("gpu_type", _text),
}
_JOB: Mapping[str, tuple[str, Reader]] = {
    "id": ("id", _job_id),
    "run": ("run", _script),
    "python": ("python", _script),
    "image": ("image", _text),
    "inputs": ("inputs", _many(_input)),
    "outputs": ("outputs", _many(_output)),
    "delete_input": ("delete_input", _flag),
    "env": ("env", _env),
    "secrets": ("secrets", _many(_env_name)),
    "resources": ("resources", _resources),
    "timeout": ("timeout_seconds", _quantity(parse_seconds)),
    "retries": ("retries", _whole(0)),
    "retry_on": ("retry_on", _many(_whole(1, 255))),
    "checkpoint": ("checkpoint", _checkpoint),
    "priority": ("priority", _whole(-1_000_000, 1_000_000)),
    "after": ("after", _many(_job_id)),
    "ports": ("ports", _many(_whole(1, _PORT_LIMIT - 1))),
    "labels": ("labels", _named),
    "grace": ("grace_seconds", _quantity(parse_seconds)),
}

JOB_KEYS: tuple[str, ...] = tuple(_JOB)
"""Every key that a job may have."""


def _read_fields(
    mapping: Mapping[str, Any], known: Mapping[str, tuple[str, Reader]], *, key: str, required: Sequence[str] = ()
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in mapping.items():
        path = f"{key}.{name}" if key else str(name)
        if name not in known:
            raise unknown_key(name, known, key=path)
        field, read = known[name]
        if value is not None:
            fields[field] = read(value, path)
    for name in required:
        if known[name][0] not in fields:
            message = f"`{name}` is missing"
            raise UserError(message, key=key)
    return fields


def unknown_key(name: object, known: Iterable[str], *, key: str) -> UserError:
    """Return the error that names the nearest right key."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else "known keys: " + ", ".join(known)
    return UserError(f"unknown key {str(name)!r}", key=key, hint=hint)


def _mapping(value: Any, key: str, *, what: str = "a mapping") -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value  # pyright: ignore[reportUnknownVariableType]
    raise _wrong(value, key, expected=f"{what}: keys and values")


def _wrong(value: object, key: str, *, expected: str) -> UserError:
    return UserError(f"expected {expected}, got {value!r:.80}", key=key or None)
