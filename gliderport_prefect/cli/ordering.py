"""From the options of `run` and `validate` to an order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from gliderport_prefect.cli.credentials import bucket_of_block, use_credentials, used_credentials
from gliderport_prefect.cli.opening import DOLLARS, bucket_option, default_bucket, parse_pairs
from gliderport_prefect.lifecycle.order import Order
from gliderport_prefect.lifecycle.prepare import open_submission
from gliderport_prefect.protocol.quantities import parse_size

Command = Any

_OPTIONS = (
    click.option("--each", metavar="TABLE|RANGE", help="A job per row (CSV, TSV, JSONL), or per integer {n} of 0..99."),
    click.option("--campaign", "--name", metavar="ID", help="Id of the campaign; the same id goes on with it."),
    click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Most workers at a time.  [default: 1]"),
    click.option("--worker-cpus", type=float, metavar="N", help="CPU cores of each worker.  [default: an equal share]"),
    click.option("--worker-memory", metavar="SIZE", help="Memory of each worker.  [default: an equal share]"),
    click.option("--worker-price", type=DOLLARS, metavar="DOLLARS", help="Price of an hour of each.  [default: 0]"),
    click.option("--budget", type=DOLLARS, metavar="DOLLARS", help="Start nothing new once it has cost so much."),
    click.option("--id", "job_id", metavar="TEMPLATE", help="Id of each row's job, such as 'fit-{alpha}'."),
    click.option("--cpus", type=float, metavar="N", help="CPU cores of each job.  [default: 1]"),
    click.option("--memory", metavar="SIZE", help="Memory of each job, such as 4GiB; enforced."),
    click.option("--retries", type=click.IntRange(min=0), metavar="N", help="Further tries of a job that fails."),
    click.option("--timeout", metavar="TIME", help="Longest run of one try, such as 30m."),
    click.option(
        "--input", "inputs", multiple=True, metavar="PATH|URI", help="Put into each job's folder; repeatable."
    ),
    click.option("--output", "outputs", multiple=True, metavar="FOLDER|URI", help="Where files go; repeatable."),
    click.option("--env", multiple=True, metavar="NAME=VALUE", help="Environment variable of each job; repeatable."),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="What to filter by; repeatable."),
)


def order_options(command: Command) -> Command:
    """Add all that says what to run."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.argument("source", metavar="SOURCE|COMMAND")(bucket_option(command))


def make_order(written: dict[str, Any]) -> Order:
    """Return what the options ask for, in the bucket that is named, the source's own, or this user's.

    Args:
        written: What `order_options` read, by name.

    Raises:
        UserError: The source cannot be read.
        UsageError: An option has the wrong form.
    """
    is_table = written["each"] is not None
    order = Order(
        bucket=written["bucket"] or "",
        campaign=written["campaign"],
        source=None if is_table else written["source"],
        command=written["source"] if is_table else None,
        each=written["each"],
        job_id=written["job_id"],
        job=_job_keys(written),
        workers=written["workers"],
        budget=written["budget"],
        site_options=_site_options(written),
    )
    settings = None if order.bucket and used_credentials() else open_submission(order).settings
    if settings is not None and settings.credentials:
        use_credentials(settings.credentials)
    bucket = order.bucket or (settings and settings.bucket) or bucket_of_block() or default_bucket()
    return replace(order, bucket=bucket, credentials=used_credentials())


def _job_keys(written: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a job in the notation of job files, without those that were not given."""
    resources = {name: written[name] for name in ("cpus", "memory") if written[name] is not None}
    keys = {
        "resources": resources,
        "retries": written["retries"],
        "timeout": written["timeout"],
        "inputs": list(written["inputs"]),
        "outputs": list(written["outputs"]),
        "env": parse_pairs(written["env"], "--env"),
        "labels": parse_pairs(written["labels"], "--label"),
    }
    return {name: value for name, value in keys.items() if value not in (None, [], {})}


def _site_options(written: dict[str, Any]) -> dict[str, Any]:
    given = {"cpus": written["worker_cpus"], "price": written["worker_price"]}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if written["worker_memory"] is not None:
        try:
            options["memory_bytes"] = parse_size(written["worker_memory"])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--worker-memory") from None
    return options
