"""Records to JSON and back, driven by the fields of frozen dataclasses.

What equals a field's default is not written; what a newer peer wrote and this side does not know is ignored.
Each class's plan is made once, so that a million specs cost a dictionary walk each.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from gliderport_prefect.errors import ProtocolError

Record = TypeVar("Record")
Convert = Callable[[Any], Any]

_SCALARS = frozenset({str, int, float, bool, type(None)})
_BASES = (str, int, float)


def encode(record: object) -> bytes:
    """Return the record as one line of UTF-8 JSON without a line end.

    Raises:
        ValueError: It holds a number that JSON has not (NaN, infinity), which nobody could read.
    """
    text = json.dumps(to_wire(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def decode(kind: type[Record], data: bytes | str, *, where: str) -> Record:
    """Return the record that the JSON holds.

    Args:
        kind: The record's class.
        data: JSON text.
        where: Key of the object, for the message.

    Raises:
        ProtocolError: It is no JSON, or lacks a field, or a field has another type than expected.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8", "surrogatepass")
        return from_wire(kind, _decoder().decode(text))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        message = f"{where} holds no readable {kind.__name__} ({error!r:.200}); was it written by something else?"
        raise ProtocolError(message) from error


def to_wire(record: Any) -> Any:
    """Return the record as dictionaries, lists and scalars, without what equals its default."""
    if type(record) in _SCALARS:
        return record
    if isinstance(record, Enum):
        return record.value
    if isinstance(record, _BASES):
        return record
    if isinstance(record, dict):
        return {key: to_wire(value) for key, value in cast("dict[str, Any]", record).items()}
    if isinstance(record, (list, tuple)):
        return [to_wire(value) for value in cast("list[Any]", record)]
    plan = _defaults(type(record))  # pyright: ignore[reportUnknownArgumentType]
    wire: dict[str, Any] = {}
    for name, default in plan:
        value = getattr(record, name)
        # Identity first: comparing two records of many fields costs more than writing one.
        if value is not default and value != default:
            wire[name] = value if type(value) in _SCALARS else to_wire(value)
    return wire


def from_wire(kind: type[Record], wire: Any) -> Record:
    """Return the record of that class which the dictionaries describe.

    Raises:
        ValueError: A value does not have the type of its field.
        TypeError: A field without a default is missing.
    """
    return _converter(kind)(wire)


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_refuse_constant)


@cache
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple((each.name, _default(each)) for each in dataclasses.fields(kind))


def _default(each: dataclasses.Field[Any]) -> Any:
    if each.default_factory is not dataclasses.MISSING:
        return each.default_factory()
    return each.default


@cache
def _converter(kind: Any) -> Convert:
    """Return what turns parsed JSON into a value of the type, or raises ValueError or TypeError."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _optional(arguments)
    if origin is tuple:
        return _tuple(arguments)
    if origin is dict:
        return _dict(arguments)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _scalar(kind)


def _optional(arguments: tuple[Any, ...]) -> Convert:
    (inner,) = (_converter(each) for each in arguments if each is not type(None))
    return lambda wire: None if wire is None else inner(wire)


def _tuple(arguments: tuple[Any, ...]) -> Convert:
    if len(arguments) == 2 and arguments[1] is Ellipsis:  # noqa: PLR2004 - tuple[X, ...]
        one = _converter(arguments[0])
        return lambda wire: tuple([one(each) for each in _expect(list, wire)])
    each_of = tuple(_converter(each) for each in arguments)
    return lambda wire: tuple(
        [convert(each) for convert, each in zip(each_of, _of_length(len(each_of), wire), strict=True)]
    )


def _dict(arguments: tuple[Any, ...]) -> Convert:
    value_of = _converter(arguments[1])
    return lambda wire: {str(key): value_of(value) for key, value in _expect(dict, wire).items()}


def _dataclass(kind: Any) -> Convert:
    hints = get_type_hints(kind)
    plan = {each.name: _converter(hints[each.name]) for each in dataclasses.fields(kind)}

    def convert(wire: Any) -> Any:
        _expect(dict, wire)
        return kind(**{name: plan[name](value) for name, value in wire.items() if name in plan})

    return convert


def _scalar(kind: Any) -> Convert:
    if kind is Any:
        return lambda wire: wire
    if kind is float:
        return _finite
    return lambda wire: _expect(kind, wire)


def _finite(wire: Any) -> float:
    number = float(_expect((int, float), wire))
    if not math.isfinite(number):
        message = f"expected a finite number, got {number}"
        raise ValueError(message)
    return number


def _refuse_constant(name: str) -> None:
    message = f"{name} is no number in JSON"
    raise ValueError(message)


def _of_length(length: int, wire: Any) -> Any:
    if len(_expect(list, wire)) != length:
        message = f"expected {length} values, got {len(wire)}"
        raise ValueError(message)
    return wire


def _expect(kind: Any, wire: Any) -> Any:
    if not isinstance(wire, kind) or (isinstance(wire, bool) and kind is not bool):
        message = f"expected {kind}, got {wire!r:.100}"
        raise ValueError(message)
    return wire
