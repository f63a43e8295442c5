"""JSON Schemas of the records, generated from their classes.

    python -m gliderport_prefect.protocol.schema      # writes schema.json beside this file

A test fails when the file is older than the classes.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import types
from enum import Enum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from gliderport_prefect.protocol import records
from gliderport_prefect.protocol.jobspec import JobSpec, TreeEntry
from gliderport_prefect.protocol.version import PROTOCOL_VERSION

SCHEMA_FILE = Path(__file__).with_name("schema.json")

_OBJECTS = (
    records.Campaign,
    records.LauncherClaim,
    records.SpecChunkHeader,
    JobSpec,
    TreeEntry,
    records.InboxRecord,
    records.Registration,
    records.OutboxRecord,
    records.Manifest,
    records.Commit,
    records.PublishedMark,
    records.SavedCheckpoint,
    records.LedgerRecord,
    records.Request,
    records.ProgressNote,
)
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}


def build_schema() -> dict[str, Any]:
    """Return one JSON Schema (2020-12) that defines every kind of record under its class name."""
    definitions: dict[str, Any] = {}
    for kind in _OBJECTS:
        _define(kind, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Gliderport bucket protocol, version {PROTOCOL_VERSION}",
        "$defs": dict(sorted(definitions.items())),
    }


def render_schema() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(build_schema(), indent=1, ensure_ascii=False) + "\n"


def _define(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__].update(_object(kind, definitions))
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, docs, fields = get_type_hints(kind), _field_docs(kind), dataclasses.fields(kind)
    properties = {
        each.name: {**_schema(hints[each.name], definitions), "description": docs[each.name]} for each in fields
    }
    missing = dataclasses.MISSING
    required = [each.name for each in fields if each.default is missing and each.default_factory is missing]
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__),
        "properties": properties,
        "required": required,
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(each, definitions) for each in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    return _plain(kind, definitions)


def _plain(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is type(None):
        return {"type": "null"}
    if kind is Any:
        return {}
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    return {"type": _SIMPLE[kind]} if kind in _SIMPLE else _define(kind, definitions)


def _field_docs(kind: Any) -> dict[str, str]:
    """Return the string that follows each field in the class's source."""
    (tree,) = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - tells the type checker what getsource of a class returns
    pairs = zip(tree.body, tree.body[1:], strict=False)
    return {
        field.target.id: inspect.cleandoc(doc.value.value).replace("\n", " ")
        for field, doc in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    }


if __name__ == "__main__":
    SCHEMA_FILE.write_text(render_schema(), encoding="utf-8")
    sys.stdout.write(f"wrote {SCHEMA_FILE}\n")
