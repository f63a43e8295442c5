"""The summary at the end of a flow run: counts, what failed and what it said last, and where the results are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact

from gliderport_prefect.board.listing import Failure, list_failures
from gliderport_prefect.board.money import say_cost
from gliderport_prefect.board.view import look
from gliderport_prefect.board.wording import make_printable, say_counts
from gliderport_prefect.protocol.outcomes import JobState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gliderport_prefect.campaign.runtime import Runtime
    from gliderport_prefect.lifecycle.collect import Collected
    from gliderport_prefect.scheduling.cost import Cost

_MOST_FAILURES = 10


def show_summary(runtime: Runtime, collected: Collected) -> None:
    """Show how the campaign ended, what failed, and where its results are."""
    state = look(runtime)
    failures = [] if collected.all_succeeded else list(list_failures(runtime, state, most=_MOST_FAILURES))
    cost = state.fleet.cost(now=runtime.clock.wall())
    text = "\n".join([*_lines(collected, failures, bucket=runtime.store.url), *_cost_lines(cost)])
    create_markdown_artifact(text, key="gliderport-summary", description=f"How campaign {collected.campaign} ended")


def say_result(collected: Collected) -> str:
    """Say in one line how the campaign ended."""
    counts = {JobState(state): count for state, count in collected.counts.items()}
    total, succeeded = sum(counts.values()), counts.pop(JobState.SUCCEEDED)
    said = f"{succeeded:,} of {total:,} jobs succeeded"
    return said if collected.all_succeeded else f"{said}; {say_counts(counts)}"


def _lines(collected: Collected, failures: list[Failure], *, bucket: str) -> Iterator[str]:
    yield f"## Campaign {collected.campaign}\n"
    yield f"{say_result(collected)}.\n"
    yield "| state | jobs |\n|---|---:|"
    yield from (f"| {state} | {count:,} |" for state, count in collected.counts.items() if count)
    yield "\nResults, one row per job:\n"
    yield from (f"- `{place}`" for place in collected.results)
    if failures:
        yield "\n### What failed\n"
        for failure in failures:
            yield from _failure_lines(failure)
        yield "To run the failed jobs again:\n"
        yield f"```\ngliderport retry {collected.campaign} --bucket {bucket}\n```"


def _cost_lines(cost: Cost) -> Iterator[str]:
    if cost.is_free:
        return
    yield f"\n### What it cost\n\n{say_cost(cost)}.\n"
    yield "| machines | hours | US dollars |\n|---|---:|---:|"
    kinds = (("spot", cost.spot_hours, cost.spot), ("on demand", cost.on_demand_hours, cost.on_demand))
    yield from (f"| {name} | {hours:.2f} | {dollars:.4f} |" for name, hours, dollars in kinds if hours)


def _failure_lines(failure: Failure) -> Iterator[str]:
    tries = f"{failure.attempts} attempt" + ("" if failure.attempts == 1 else "s")
    head = f"{failure.outcome} after {tries} on {failure.worker}"
    yield f"**{failure.id}**: {_as_text(f'{head}: {failure.reason}' if failure.reason else head)}\n"
    if failure.last_lines:
        printed = make_printable(failure.last_lines, keep_lines=True)
        # A fence must be longer than every run of backticks inside it.
        fence = "`" * max(3, 1 + max((len(each) for each in re.findall("`+", printed)), default=0))
        yield f"{fence}\n{printed}\n{fence}\n"


def _as_text(text: str) -> str:
    """Return the text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", make_printable(text))
