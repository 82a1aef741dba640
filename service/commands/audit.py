"""`call-dispatcher audit`: proves from the topics that every request has one outcome, or is open.

Knows nothing of any replica: it asks Kafka alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.commands.options import config_option, load_settings
from service.commands.scanning import ScanShown, moment_ms
from service.commands.tables import Section, show
from service.errors import ConfigurationError

if TYPE_CHECKING:
    from service.audit.reading import Range
    from service.audit.report import Fault, Report
    from service.settings import Settings

EXIT_BROKEN = 1


@click.command()
@config_option
@click.option("--since", metavar="TIME", help="Only requests published since; a time, or 2h, 7d.")
@click.option("--until", metavar="TIME", help="Only requests published before this time.")
@click.option("--partition", type=click.IntRange(min=0), help="Only this one of the requests.")
@click.option(
    "--offsets",
    metavar="FIRST-END",
    help="Only these offsets of --partition; END is not among them.",
)
@click.option(
    "--against",
    metavar="LEDGER",
    help="Compare with the provider's twin too: its address, or the file of its --ledger.",
)
@click.option("--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_context
def audit(
    ctx: click.Context,
    config_path: Path | None,
    since: str | None,
    until: str | None,
    partition: int | None,
    offsets: str | None,
    against: str | None,
    output: str,
) -> None:
    """Prove one outcome per event, from the topics alone.

    Safe on a running system. Exit code 1 if a request is lost or doubled, an outcome is of nothing
    that was published, or retention took requests before they were read.
    """
    settings = load_settings(config_path)
    if against is not None and (since, until, partition) != (None, None, None):
        raise ConfigurationError("--against: compares all there is, so no range can be given")
    zone, now_ms = settings.provider.time_zone, int(time.time() * 1000)
    wanted = _range(
        moment_ms("--since", since, zone, now_ms),
        moment_ms("--until", until, zone, now_ms),
        partition,
        offsets,
    )
    report = asyncio.run(_run(settings, wanted, against, now_ms))
    if output == "json":
        _show_json(report)
    else:
        _show_tables(report)
    if not report.kept:
        ctx.exit(EXIT_BROKEN)


def _range(
    since_ms: int | None, until_ms: int | None, partition: int | None, offsets: str | None
) -> Range:
    from service.audit.reading import Range  # noqa: PLC0415 - quick --help

    first = end = None
    if offsets is not None:
        if partition is None:
            raise ConfigurationError("--offsets: say of which --partition")
        first_text, _, end_text = offsets.partition("-")
        if not (first_text.isdecimal() and end_text.isdecimal()):
            raise ConfigurationError("--offsets: write it like 1000-2000")
        first, end = int(first_text), int(end_text)
    return Range(since_ms, until_ms, partition, first, end)


async def _run(settings: Settings, wanted: Range, against: str | None, now_ms: int) -> Report:
    from service.adapters.kafka.broker import KafkaBroker  # noqa: PLC0415 - quick --help
    from service.adapters.kafka.scan import KafkaScan  # noqa: PLC0415 - quick --help
    from service.audit.audit import Auditor  # noqa: PLC0415 - quick --help

    broker = KafkaBroker(settings, "call-dispatcher-audit")
    with ScanShown() as told:
        async with KafkaScan(broker.options, told) as scan:
            with closing(Auditor(scan, broker, settings.kafka.topics, wanted, against)) as auditor:
                return await auditor.run(now_ms)


def _show_json(report: Report) -> None:
    import msgspec  # noqa: PLC0415 - quick --help

    click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())


def _show_tables(report: Report) -> None:
    sections = [
        Section(f"requests of {report.topic}", ("what", "count", "note"), list(_requests(report))),
        Section("faults", ("what", "where", "note"), list(_faults(report))),
        Section("out of range", ("what", "count"), list(_out_of_range(report))),
    ]
    show([section for section in sections if section.rows])
    click.echo(
        "\nevery request has one outcome, or is open" if report.kept else "\nthe promise is broken"
    )


def _requests(report: Report) -> Sequence[tuple[str, ...]]:
    rows = [("in range", f"{report.requests:,}", ""), ("results", f"{report.results:,}", "")]
    rows += [
        (f"dead letters: {reason}", f"{count:,}", "")
        for reason, count in report.dead_letters.items()
    ]
    rows += [
        (f"open: {kind}", f"{each.count:,}", f"oldest {each.oldest_at}, {each.first[0]}")
        for kind, each in report.open.items()
        if each.count
    ]
    rows += [
        (kind, f"{count:,}", "")
        for kind, count in (
            ("lost", report.lost),
            ("doubled", report.doubled),
            ("orphans", report.orphans),
            ("gaps", len(report.gaps)),
            ("sent again by a replay", report.sent_again),
        )
    ]
    rows += [
        (
            f"replay {replay}",
            f"{each.sent:,}",
            f"{each.results:,} results, {each.dead_letters:,} dead letters, {each.open:,} open",
        )
        for replay, each in report.replays.items()
    ]
    return rows


def _faults(report: Report) -> Sequence[tuple[str, ...]]:
    rows = [
        (kind, fault.source, _note(fault))
        for kind, faults in (
            ("lost", report.lost_first),
            ("doubled", report.doubled_first),
            ("orphan", report.orphans_first),
            ("sent again", report.sent_again_first),
        )
        for fault in faults
    ]
    if report.against is not None:
        rows += [("called too often", "-", each) for each in report.against.called_too_often_first]
        rows += [("not called", "-", each) for each in report.against.not_called_first]
    rows += [
        (
            "gap",
            f"{gap.topic}-{gap.partition} {gap.first}-{gap.end}",
            f"{gap.records:,} offsets were gone before they were read or decided",
        )
        for gap in report.gaps
    ]
    return rows


def _note(fault: Fault) -> str:
    published = f"published {fault.published_at}; " if fault.published_at else ""
    where = f": {', '.join(fault.outcomes)}" if fault.outcomes else ""
    return f"{published}{fault.why}{where}"


def _out_of_range(report: Report) -> Sequence[tuple[str, ...]]:
    return [
        (kind.replace("-", " "), f"{count:,}")
        for kind, count in report.out_of_range.items()
        if count
    ]
