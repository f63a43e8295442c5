"""Job files of the original gliderport, understood as they are.

`<job>.config.yaml` has `input: {local: [files, globs]}` (copied flat into the working folder) or `{bucket, prefix}`
(all below it), `output: {bucket, prefix}` (there goes all of the working folder but unchanged inputs), `delete_input`,
and `run` or `python`. Such a job may rely on `$HOME/<job>` being its working folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.paths import absolute_paths
from gliderport_prefect.presets.submission import LocatedJob, Place
from gliderport_prefect.presets.written import read_documents
from gliderport_prefect.presets.written_jobs import with_defaults
from gliderport_prefect.protocol.jobspec import Input, Output
from gliderport_prefect.protocol.notation import parse_job, unknown_key

ENDING = ".config.yaml"
_KEYS = ("input", "output", "delete_input", "run", "python")
_OWN_KEYS = ("input", "output")
_WRITTEN_AS = (("inputs[", "input.local["), ("outputs[0]", "output"))
# The original's YAML 1.1 reads these as true and false.
_FLAGS = {"yes": True, "on": True, "no": False, "off": False}


def read_original_job(file: Path, defaults: Mapping[str, Any]) -> LocatedJob | UserError:
    """Return the job of the file, or what is wrong with it."""
    try:
        documents = read_documents(file)
    except UserError as error:
        return error
    if len(documents) != 1:
        return UserError("the file does not hold one job", file=file, hint=f"write one job into each *{ENDING}")
    place = Place(str(file), lines=documents[0], written_as=_WRITTEN_AS)
    try:
        return LocatedJob(_read(documents[0].value, file, defaults=defaults), place)
    except UserError as error:
        return place.locate(error)


def _read(written: object, file: Path, *, defaults: Mapping[str, Any]) -> Any:  # noqa: ANN401
    config = _mapping(written, None, known=_KEYS)
    job = {key: value for key, value in config.items() if key not in _OWN_KEYS}
    flag = job.get("delete_input")
    if isinstance(flag, str):
        job["delete_input"] = _FLAGS.get(flag.lower(), flag)
    spec = parse_job({"id": file.name.removesuffix(ENDING), **with_defaults(job, defaults)})
    spec = replace(spec, own_home=True)
    if config.get("input") is not None:
        spec = replace(spec, inputs=_read_inputs(config["input"]))
    if config.get("output") is not None:
        spec = replace(spec, outputs=(Output(destination=_bucket_url(config["output"], "output")),))
    return absolute_paths(spec, file.parent)


def _read_inputs(written: object) -> tuple[Input, ...]:
    mapping = _mapping(written, "input", known=("local", "bucket", "prefix"))
    if "local" not in mapping:
        return (Input(source=f"{_bucket_url(mapping, 'input').rstrip('/')}/", target="."),)
    if len(mapping) > 1:
        raise UserError("`local` and `bucket` exclude each other", key="input", hint="give one of them")
    local = mapping["local"]
    paths = cast("Sequence[object]", local if isinstance(local, list) else [local])
    return tuple(Input(source=_text(path, f"input.local[{at}]")) for at, path in enumerate(paths))


def _bucket_url(written: object, key: str) -> str:
    """Return the place as a URL or a path; a bucket without a scheme is one of Google's, as in the original."""
    mapping = _mapping(written, key, known=("bucket", "prefix", "local"))
    bucket = _text(mapping.get("bucket"), f"{key}.bucket").rstrip("/")
    prefix = mapping.get("prefix")
    whole = f"{bucket}/{_text(prefix, f'{key}.prefix').strip('/')}" if prefix is not None else bucket
    return whole if "://" in bucket or bucket.startswith(("/", "~", ".")) else f"gs://{whole}"


def _mapping(value: object, key: str | None, *, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"expected a mapping: keys and values, got {value!r:.80}", key=key)
    mapping = cast("Mapping[str, Any]", value)
    for name in mapping:
        if name not in known:
            raise unknown_key(name, known, key=f"{key}.{name}" if key else str(name))
    return mapping


def _text(value: object, key: str) -> str:
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value
    raise UserError(f"expected text, got {value!r:.80}", key=key)
