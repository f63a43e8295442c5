"""One file that describes a whole campaign: `campaign.yaml`.

name: resize
workers: {max: 4, cpus: 2, memory: 4GiB}
each: photos.csv
job:
run: convert {input} -resize {width} small.jpg
inputs: ["photos/{input}"]
outputs: [{destination: "results/{id}", include: small.jpg}]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from gliderport_prefect.errors import UserError
from gliderport_prefect.presets.command import scan_rows
from gliderport_prefect.presets.settings import SETTING_KEYS, CampaignSettings, parse_settings
from gliderport_prefect.presets.sky_template import parse_sky_template, read_sky_template
from gliderport_prefect.presets.submission import Place, Scan, Submission
from gliderport_prefect.presets.tables import Table, inline_table, open_table, parse_range, range_table
from gliderport_prefect.presets.written import Document, read_documents
from gliderport_prefect.presets.written_jobs import DEFAULTS, JOBS, read_defaults, read_job_list, with_defaults
from gliderport_prefect.protocol.notation import unknown_key


@dataclass(frozen=True)
class CampaignFile:
    """Every key that a campaign file may have; relative paths in it begin in its folder."""

    name: Any = None
    """Id of the campaign; the same id is always the same campaign."""
    bucket: Any = None
    """URL of the runtime bucket."""
    credentials: Any = None
    """The Prefect block that opens the bucket, as type and name: `aws-credentials/lab`."""
    site: Any = None
    """Where workers run, such as `local`."""
    site_options: Any = None
    """What the site needs to know, as a mapping."""
    workers: Any = None
    """Most workers at a time; or a mapping with that as `max`, and `cpus`, `memory`, `gpus`, `price` of each worker."""
    budget: Any = None
    """US dollars; when the workers have cost so much, nothing new is started."""
    policy: Any = None
    """Timers and limits; `settings.POLICY_KEYS` lists them, times such as `90s` or `2h`."""
    sky_template: Any = None
    """The SkyPilot task, without `run`, that makes a worker's machine: a mapping, or the path of its file."""
    defaults: Any = None
    """Keys of every job; they yield to what a job itself says."""
    jobs: Any = None
    """The jobs, as a list."""
    job: Any = None
    """One job with placeholders such as `{column}` in any text; one job for each row of `each`."""
    each: Any = None
    """The rows: path of a CSV, TSV or JSONL table; a range `0..999` or `{range: [0, 999]}`; or a list of rows."""


_KEYS = tuple(each.name for each in fields(CampaignFile))


def campaign_file_submission(file: Path, defaults: Mapping[str, Any] | None = None) -> Submission:
    """Return the campaign that the file describes.

    Args:
        file: The file.
        defaults: Keys of every job; they yield to what the file says.

    Raises:
        UserError: It is no such file, or something in it is wrong whatever the row.
    """
    documents = read_documents(file)
    if len(documents) != 1:
        raise UserError("a campaign file holds one YAML document", file=file)
    try:
        return _read(documents[0], defaults or {})
    except UserError as error:
        raise documents[0].error(error) from None


def _read(document: Document, defaults: Mapping[str, Any]) -> Submission:
    whole: object = document.value
    if not isinstance(whole, Mapping):
        raise UserError("a campaign file is a mapping: keys and values")
    written = cast("Mapping[str, Any]", whole)
    for name in written:
        if name not in _KEYS:
            raise unknown_key(name, _KEYS, key=str(name))
    template, beneath = _read_template(written.get("sky_template"), document.file.parent)
    settings = parse_settings({key: value for key, value in written.items() if key in SETTING_KEYS}).over(beneath)
    merged = with_defaults(read_defaults(written), defaults)
    return Submission(
        _read_jobs(document, written, defaults=merged),
        origin=str(document.file),
        settings=settings,
        sky_template=template,
    )


def _read_template(written: object, folder: Path) -> tuple[dict[str, Any], CampaignSettings]:
    if written is None:
        return {}, CampaignSettings()
    if isinstance(written, str):
        return read_sky_template(folder / Path(written).expanduser())
    template, settings = parse_sky_template(written, folder=folder, key="sky_template")
    # Through JSON, so that plain numbers are left, as the campaign's record holds them.
    return json.loads(json.dumps(template)), settings


def _read_jobs(document: Document, written: Mapping[str, Any], *, defaults: Mapping[str, Any]) -> Scan:
    has_rows, has_list = written.get("job") is not None, written.get(JOBS) is not None
    if has_rows == has_list:
        what = "the file has both `job` and `jobs`" if has_rows else "the file has no jobs"
        raise UserError(what, key=JOBS if has_rows else None, hint="give `jobs`, or `job` and `each`")
    if has_list:
        if written.get("each") is not None:
            raise UserError("`each` goes with `job`, not with `jobs`", key="each")
        return lambda: read_job_list(document, JOBS, jobs=written[JOBS], defaults=defaults)
    return _read_rows(document, written, defaults=defaults)


def _read_rows(document: Document, written: Mapping[str, Any], *, defaults: Mapping[str, Any]) -> Scan:
    if written.get("each") is None:
        raise UserError("`each` is missing: the rows of which each is to be a job", key="job")
    if not isinstance(written["job"], Mapping):
        raise UserError("expected a mapping: the job with placeholders", key="job")
    table = _read_table(written["each"], document)
    place = Place(str(document.file), lines=document, paths=("job", DEFAULTS))
    try:
        job = with_defaults(cast("Mapping[str, Any]", written["job"]), defaults)
        return scan_rows(job, table, folder=document.file.parent)
    except UserError as error:
        raise place.locate(error) from None


def _read_table(written: object, document: Document) -> Table:
    try:
        if isinstance(written, str):
            return parse_range(written) or open_table(document.file.parent / Path(written).expanduser())
        if isinstance(written, list):
            return inline_table(cast("list[object]", written), name=f"{document.file}, `each`")
        if isinstance(written, Mapping):
            return _read_range(cast("Mapping[str, object]", written))
    except UserError as error:
        key = None if error.file else "each" + (error.key or "")
        raise UserError(error.message, file=error.file, line=error.line, key=key, hint=error.hint) from None
    raise UserError("expected the path of a table, a range, or a list of rows", key="each")


def _read_range(written: Mapping[str, object]) -> Table:
    for name in written:
        if name != "range":
            raise unknown_key(name, ("range",), key=f".{name}")
    given = written.get("range")
    if isinstance(given, str) and (table := parse_range(given)) is not None:
        return table
    numbers = cast("list[object]", given) if isinstance(given, list) else []
    whole = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if len(whole) != len(numbers) or len(numbers) not in {2, 3}:
        raise UserError("expected `[first, last]` or `[first, last, step]`, both ends included", key=".range")
    return range_table(int(whole[0]), int(whole[1]), step=int(whole[2]) if len(whole) == 3 else None)  # noqa: PLR2004
