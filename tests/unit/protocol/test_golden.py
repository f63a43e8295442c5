"""Records as version 1 wrote them: they must be read for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gliderport_prefect.protocol import codec
from gliderport_prefect.protocol.schema import SCHEMA_FILE, build_schema, render_schema
from gliderport_prefect.protocol.version import PROTOCOL_VERSION
from tests.unit.protocol.kinds import KINDS

GOLDEN = Path(__file__).parents[2] / "golden" / f"v{PROTOCOL_VERSION}"
SCHEMA = build_schema()

each_file = pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.name)


def test_every_kind_of_record_has_a_frozen_one() -> None:
    assert {path.name.partition(".")[0] for path in GOLDEN.glob("*.json")} == {kind.__name__ for kind in KINDS}


@each_file
def test_a_frozen_record_is_read_in_full(path: Path) -> None:
    wire = json.loads(path.read_text(encoding="utf-8"))
    record = codec.decode(kind_of(path), path.read_bytes(), where=path.name)
    assert json.loads(codec.encode(record)) == wire


@each_file
def test_a_frozen_record_fits_the_schema(path: Path) -> None:
    assert is_valid(kind_of(path), json.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_schema_refuses_what_is_no_record(kind: type[Any]) -> None:
    assert not is_valid(kind, [])
    assert not is_valid(kind, {})


def test_the_schema_file_is_that_of_the_classes() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == render_schema(), "python -m gliderport_prefect.protocol.schema"


def test_every_field_of_the_schema_is_described() -> None:
    undescribed = [
        f"{name}.{field}"
        for name, kind in SCHEMA["$defs"].items()
        for field, said in kind["properties"].items()
        if not said["description"]
    ]
    assert undescribed == []


def test_the_schema_itself_is_sound() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert {kind.__name__ for kind in KINDS} <= SCHEMA["$defs"].keys()


def kind_of(path: Path) -> type[Any]:
    return next(kind for kind in KINDS if kind.__name__ == path.name.partition(".")[0])


def is_valid(kind: type[Any], wire: object) -> bool:
    schema: Any = Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{kind.__name__}"})
    return schema.is_valid(wire)
