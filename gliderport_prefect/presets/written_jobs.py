"""Jobs that somebody wrote one by one: in YAML files, in lists in them, and in JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.paths import absolute_paths
from gliderport_prefect.presets.submission import LocatedJob, Place, join_keys
from gliderport_prefect.presets.tables import json_lines
from gliderport_prefect.presets.written import Document, read_documents
from gliderport_prefect.protocol.notation import parse_job, unknown_key

JOBS = "jobs"
DEFAULTS = "defaults"
_COMMANDS = ("run", "python")
_MERGED = ("env", "labels", "resources")


def with_defaults(job: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the job with what it leaves out taken from the defaults.

    `env`, `labels` and `resources` are merged key by key. A command of the job takes the place of either command.
    """
    own_command = any(job.get(key) is not None for key in _COMMANDS)
    merged = {key: value for key, value in defaults.items() if not (own_command and key in _COMMANDS)}
    for key, value in job.items():
        below = merged.get(key)
        merges = key in _MERGED and isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = {**cast("dict[str, Any]", below), **value} if merges else value
    return merged


def read_job_file(file: Path, defaults: Mapping[str, Any]) -> Iterator[LocatedJob | UserError]:
    """Yield the jobs of a YAML or JSON Lines file.

    A YAML document is one job, a list of jobs, or a mapping with `jobs` and, if need be, `defaults`. The id of a job
    that is alone in its file is the file's name, unless it has one.
    """
    if file.suffix.lower() == ".jsonl":
        yield from _read_lines(file, defaults)
        return
    try:
        documents = read_documents(file)
    except UserError as error:
        yield error
        return
    if not documents:
        yield UserError("the file holds no job", file=file, hint="delete it, or write a job into it")
    default_id = file.stem if len(documents) == 1 else None
    for document in documents:
        yield from _read_document(document, defaults, default_id=default_id)


def read_job_list(
    document: Document, path: str, *, jobs: object, defaults: Mapping[str, Any], defaults_path: str = DEFAULTS
) -> Iterator[LocatedJob | UserError]:
    """Yield the jobs of a list in a document.

    Args:
        document: Where it is written.
        path: Key path of the list.
        jobs: The list.
        defaults: What jobs leave out.
        defaults_path: Key path under which defaults are written in the document.
    """
    if not isinstance(jobs, list) or not jobs:
        yield document.error(UserError("expected a list of jobs", key=path or None))
        return
    for at, written in enumerate(cast("list[object]", jobs)):
        place = Place(str(document.file), lines=document, paths=(f"{path}[{at}]", defaults_path))
        yield read_job(written, defaults, place=place)


def read_job(
    written: object, defaults: Mapping[str, Any], *, place: Place, default_id: str | None = None
) -> LocatedJob | UserError:
    """Return the job, or what is wrong with it."""
    whole = with_defaults(cast("Mapping[str, Any]", written), defaults) if isinstance(written, Mapping) else written
    try:
        spec = parse_job(whole, default_id=default_id)
        return LocatedJob(absolute_paths(spec, Path(place.file).parent), place)
    except UserError as error:
        return place.locate(error)


def _read_lines(file: Path, defaults: Mapping[str, Any]) -> Iterator[LocatedJob | UserError]:
    empty = True
    for found in json_lines(file):
        empty = False
        if isinstance(found, UserError):
            yield found
        else:
            yield read_job(found[1], defaults, place=Place(str(file), found[0]))
    if empty:
        yield UserError("the file holds no job", file=file, hint="delete it, or write a job into it")


def _read_document(
    document: Document, defaults: Mapping[str, Any], *, default_id: str | None
) -> Iterator[LocatedJob | UserError]:
    written: object = document.value
    if isinstance(written, list):
        yield from read_job_list(document, "", jobs=cast("list[object]", written), defaults=defaults)
    elif isinstance(written, Mapping) and JOBS in written:
        yield from _read_jobs_mapping(document, cast("Mapping[str, Any]", written), defaults=defaults)
    else:
        place = Place(str(document.file), lines=document)
        yield read_job(document.value, defaults, place=place, default_id=default_id)


def _read_jobs_mapping(
    document: Document, written: Mapping[str, Any], *, defaults: Mapping[str, Any]
) -> Iterator[LocatedJob | UserError]:
    try:
        for name in written:
            if name not in {JOBS, DEFAULTS}:
                raise unknown_key(name, (JOBS, DEFAULTS), key=str(name))
        own = with_defaults(read_defaults(written), defaults)
    except UserError as error:
        yield document.error(error)
        return
    yield from read_job_list(document, JOBS, jobs=written[JOBS], defaults=own)


def read_defaults(written: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a mapping says under `defaults`.

    Raises:
        UserError: It is no mapping.
    """
    defaults = written.get(DEFAULTS)
    if defaults is None:
        return {}
    if not isinstance(defaults, Mapping):
        raise UserError("expected a mapping: keys of every job", key=DEFAULTS)
    if "id" in defaults:
        raise UserError("an id belongs to one job", key=join_keys(DEFAULTS, "id"), hint="take it out of the defaults")
    return cast("Mapping[str, Any]", defaults)
