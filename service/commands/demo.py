"""`call-dispatcher demo`: everything on one machine, with progress and a summary.

Must not know what is played (demo/): it turns options into one run, and its verdict into a code.
"""

from __future__ import annotations

import asyncio
import signal

import click

EVENTS_MIN = 100
"""With fewer there would be no time for an outage in the middle."""


@click.command()
@click.option(
    "--events",
    default=10_000,
    show_default=True,
    type=click.IntRange(min=EVENTS_MIN),
    help="How many to publish.",
)
@click.option(
    "--keep", is_flag=True, help="Leave everything running afterwards, until Ctrl-C stops it."
)
@click.option(
    "--seed", default=0, show_default=True, help="All chance in the events comes from it."
)
@click.pass_context
def demo(ctx: click.Context, *, events: int, keep: bool, seed: int) -> None:
    """Start Kafka, the provider's twin and a dispatcher, and prove that it keeps its promises.

    Events of 20 flows are published, a few of them malformed; the provider refuses some calls and
    has an outage in the middle. At the end the twin's ledger and the topics are compared with
    what was published. A table and one line of JSON go to standard output, progress to standard
    error. No call is placed, and nothing leaves this machine.

    With KAFKA_BOOTSTRAP set, that broker is used, with topics of its own that are deleted at the
    end; otherwise a local one is started, which needs Java and Maven.

    Exit codes: 0 every promise was kept, 1 not, 130 interrupted (all is stopped then).
    """
    # Imported late: `--help` needs none of it.
    from service.demo.demo import run_demo  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGHUP):
        # So that they clean up as Ctrl-C does.
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    kept = asyncio.run(run_demo(events, seed, keep=keep))
    ctx.exit(0 if kept else 1)
