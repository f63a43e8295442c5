"""`gliderport run` and `gliderport validate`: from a source of jobs to a finished campaign."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gliderport_prefect.board.money import say_estimate
from gliderport_prefect.board.wording import make_printable, say_size
from gliderport_prefect.cli.driving import Drive
from gliderport_prefect.cli.exits import Exit
from gliderport_prefect.cli.launchers import refuse_second_launcher
from gliderport_prefect.cli.opening import json_option
from gliderport_prefect.cli.ordering import make_order, order_options
from gliderport_prefect.cli.tables import write_json
from gliderport_prefect.lifecycle.plan import open_runtime
from gliderport_prefect.lifecycle.prepare import prepare, prepare_with_summary
from gliderport_prefect.lifecycle.run import run_campaign
from gliderport_prefect.protocol import codec

if TYPE_CHECKING:
    from gliderport_prefect.lifecycle.checks import Summary
    from gliderport_prefect.lifecycle.collect import Collected
    from gliderport_prefect.lifecycle.order import Order
    from gliderport_prefect.lifecycle.plan import Plan
    from gliderport_prefect.protocol.jobspec import JobSpec
    from gliderport_prefect.protocol.resources import Resources

_SCRIPT_SHOWN = 100


@click.command()
@order_options
@click.option("--dry-run", is_flag=True, help="Check everything, show what would run, start nothing.")
@click.option("--results", type=click.Path(path_type=Path), metavar="FOLDER", help="Put the results tables there too.")
@click.option("--take-over", is_flag=True, help="Drive the campaign from here even if another process does.")
@json_option
def run(*, dry_run: bool, results: Path | None, take_over: bool, as_json: bool, **written: Any) -> int:  # noqa: ANN401 - click's values
    """Run a campaign from start to end.

    SOURCE is a folder of job files beside a sky template, a campaign file, or a file of jobs. With --each it is a
    COMMAND with placeholders instead.

    \b
        gliderport run examples/quickstart
        gliderport run --each photos.csv 'convert {input} -resize {width} {output}'
        gliderport run --each 0..99 --workers 2 'python simulate.py --seed {n}'

    The same source always makes the same campaign: run again, it goes on, adds new jobs and repeats nothing that
    succeeded.
    """  # noqa: D301 - click takes the control character for "leave these lines as they are"
    order = make_order(written)
    if dry_run:
        return _show_plan(order, as_json=as_json)
    return Drive(as_json, results).run(lambda drive: _run(order, drive, take_over=take_over))


@click.command()
@order_options
@json_option
def validate(*, as_json: bool, **written: Any) -> int:  # noqa: ANN401 - click's values
    """Check a campaign as `run --dry-run` does, and start nothing."""
    return _show_plan(make_order(written), as_json=as_json)


def _run(order: Order, drive: Drive, *, take_over: bool) -> Collected:
    def prepare_and_tell(order: Order) -> Plan:
        plan = prepare(order)
        refuse_second_launcher(open_runtime(plan), take_over=take_over)
        drive.plan = plan
        click.echo(f"campaign {plan.campaign}: {plan.jobs:,} jobs from {make_printable(plan.origin)}", err=True)
        for name, text in _say_estimate(plan):
            click.echo(f"{name}: {make_printable(text)}", err=True)
        return plan

    return run_campaign(order, watch=drive.watch, stages=drive.stages(prepare_and_tell))


# --- dry run ----------------------------------------------------------------------------------------------------


def _show_plan(order: Order, *, as_json: bool) -> Exit:
    plan, summary = prepare_with_summary(order)
    if as_json:
        write_json(_document(plan, summary))
    else:
        _write(plan, summary)
    return Exit.SUCCEEDED


def _document(plan: Plan, summary: Summary) -> dict[str, Any]:
    return {
        "campaign": plan.campaign,
        "bucket": plan.bucket,
        "credentials": plan.credentials or None,
        "origin": plan.origin,
        "site": plan.site,
        "max_workers": plan.launcher.max_workers,
        "jobs": summary.jobs,
        "needs": [{"jobs": count, **vars(needs)} for needs, count in summary.needs.items()],
        "local_inputs": summary.local_inputs,
        "estimate": None if plan.estimate is None else dataclasses.asdict(plan.estimate),
        "first": [codec.to_wire(spec) for spec in summary.first],
    }


def _write(plan: Plan, summary: Summary) -> None:
    lines = [
        ("campaign", plan.campaign),
        ("bucket", plan.bucket),
        *([("credentials", plan.credentials)] if plan.credentials else ()),
        ("jobs", f"{summary.jobs:,} from {plan.origin}"),
        *(("needs", f"{count:,} × {_say_needs(needs)}") for needs, count in summary.needs.items()),
        ("inputs", f"{summary.local_inputs:,} files and folders of this machine"),
        ("workers", f"{plan.launcher.max_workers} at most (site: {plan.site})"),
        *_say_estimate(plan),
        *((f"job {spec.id}", _say_command(spec)) for spec in summary.first),
    ]
    width = max(len(name) for name, _ in lines) + 2
    for name, text in lines:
        click.echo(make_printable(f"{name + ':':{width}}{text}"))
    click.echo("all is well; nothing was started")


def _say_estimate(plan: Plan) -> list[tuple[str, str]]:
    return [] if plan.estimate is None else list(say_estimate(plan.estimate))


def _say_needs(needs: Resources) -> str:
    said = [f"{needs.cpus:g} cpus"]
    said += [
        f"{say_size(size)} {name}"
        for size, name in ((needs.memory_bytes, "memory"), (needs.disk_bytes, "disk"))
        if size
    ]
    if needs.gpus:
        said.append(f"{needs.gpus} gpus {needs.gpu_type or ''}".rstrip())
    return ", ".join(said)


def _say_command(spec: JobSpec) -> str:
    first, *others = (spec.run or spec.python or "").strip().splitlines()
    return f"{first[:_SCRIPT_SHOWN]} …" if others or len(first) > _SCRIPT_SHOWN else first
