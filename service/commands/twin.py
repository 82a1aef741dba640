"""`call-dispatcher twin`: the provider's twin as an HTTP server.

Must not know how the twin behaves: it turns options into switches and a script.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from pathlib import Path

import click
import yaml

from service.errors import ConfigurationError
from service.twin.admin import ndjson
from service.twin.behaviour import Twin
from service.twin.faults import Rule, Script, parse_fault, read_script
from service.twin.options import Options, switch_lines, with_switches
from service.twin.scenarios import read_scenario, scenario_names
from service.twin.server import TwinServer

SWITCHES = "\n".join(f"  {name}\n      {text}" for name, text in switch_lines())

EPILOG = f"""\b
Faults are named by effect and moment. What goes wrong: cut (a reset), silence,
http-NNN (a bare status), redirect, code-NNN (an error in the body),
says (word for word, in a script), nameless (a
success without request-id and call-details). Its body: empty, malformed,
truncated, huge, wrong-type, wide-text (UTF-16), byte-mark. Its HTTP:
wrong-length, over-length, bad-chunks, old-http (1.0), no-http, interim (1xx),
giant-header, twice, hang-up (closed without notice), drip, drip-head. Then
-before (the provider saw nothing), -inside (after a checksum recorded early,
before any call is placed) or -after (calls placed as usual, the answer lost or
replaced). Example: --fault cut-after=0.02 --fault http-503=0.01

\b
A script (YAML or JSON) has rules, outages and switches; the first rule that
holds decides, seconds count from the script's start:
  rules:
    - {{fault: code-205, flow: AbCd1234, nth: 3}}
    - {{fault: cut-after, attempt: 1, share: 0.1, from-second: 10, to-second: 20}}
    - {{delay-seconds: 40, times: 2}}
    - {{fault: says-after, says: {{status: 202, headers: {{}}, body: "{{}}"}}, times: 1}}
  outages:
    - {{answer: "503", from-second: 30, to-second: 35}}    # 503, reset or silence
  switches: {{checksum-at: receipt}}

\b
Scenarios are JSON files in service/twin/scenarios: each sets the twin (script),
says what a client sends (send; {{tomorrow}} is a day at +05:30) and what comes
back (answer), and what the ledger then holds. --profile and --switch go on top.

\b
While it runs: GET /twin/ledger (figures), /twin/ledger/calls and /twin/requests
(JSON lines), /twin/faults; POST /twin/faults (a script as JSON), DELETE
/twin/faults, POST /twin/reset; GET /twin/healthz. There is no password: keep it
on the loopback address or a closed network.

\b
Switches (--switch NAME=VALUE; lists with commas):
{SWITCHES}
"""


def _list_scenarios(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's way
    if not value:
        return
    names = scenario_names()
    width = max(map(len, names))
    for name in names:
        click.echo(f"{name:{width}}  {read_scenario(name).about}")
    ctx.exit(0)


@click.command(epilog=EPILOG, context_settings={"max_content_width": 100})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0: any free."
)
@click.option(
    "--profile",
    type=click.Choice(["bulk", "realtime", "dialer"]),
    help="The endpoint played.  [default: bulk]",
)
@click.option(
    "--security-id",
    "security_ids",
    multiple=True,
    envvar="TWIN_SECURITY_ID",
    help="The one accepted (repeatable); none: any of the right form. Better from the environment.",
    show_envvar=True,
)
@click.option("--limit", type=click.IntRange(1), help="Calls a minute; the profile's if not given.")
@click.option("--latency-ms", help="Time to an answer: 20, or 20-200 drawn evenly.")
@click.option("--fault", "faults", multiple=True, metavar="NAME=SHARE", help="A fault by chance.")
@click.option(
    "--script",
    "script_file",
    type=click.Path(path_type=Path),
    help="Faults by script, see below; they come before --fault.",
)
@click.option(
    "--scenario",
    metavar="NAME",
    help="Faults and switches of a recorded scenario, whose file says what to send and to expect.",
)
@click.option(
    "--list-scenarios",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_scenarios,
    help="Name all scenarios and exit.",
)
@click.option("--refuse", "refused", multiple=True, metavar="RULE", help="See switch `refused`.")
@click.option("--switch", "switches", multiple=True, metavar="NAME=VALUE", help="See below.")
@click.option("--seed", default=0, show_default=True, type=int, help="All chance comes from it.")
@click.option("--sink", is_flag=True, help="Answer at once and only count: for load tests.")
@click.option(
    "--ledger",
    "ledger_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the accepted calls here, as JSON lines, when it stops.",
)
@click.pass_context
def twin(  # noqa: PLR0913 - one parameter an option is click's way
    ctx: click.Context,
    *,
    host: str,
    port: int,
    profile: str | None,
    security_ids: tuple[str, ...],
    limit: int | None,
    latency_ms: str | None,
    faults: tuple[str, ...],
    script_file: Path | None,
    scenario: str | None,
    refused: tuple[str, ...],
    switches: tuple[str, ...],
    seed: int,
    sink: bool,
    ledger_file: Path | None,
) -> None:
    """Play the provider: take calls over HTTP, answer as it may, and keep a ledger.

    Point a staging dispatcher's `provider.url` at the printed address. No call is ever placed, and
    nothing is sent anywhere. Prints one line when it is ready; stops on SIGTERM or Ctrl-C.
    """
    named = {"profile": profile, "calls-per-minute": limit, "sink": True if sink else None}
    given: dict[str, object] = {name: value for name, value in named.items() if value is not None}
    if refused:
        given["refused"] = refused
    try:
        script = _script(script_file, scenario, faults)
        given |= _latency(latency_ms) | dict(_pair(text, "--switch") for text in switches)
        options = with_switches(with_switches(Options(), script.switches), given)
        rules = Script(rules=script.rules, outages=script.outages)

        def make(started: float) -> Twin:
            ids = frozenset(security_ids)
            chance = random.Random(seed)  # noqa: S311 - reproducible chance, no secret
            return Twin(options, chance, security_ids=ids, script=rules, started=started)

        make(0.0)
    except ConfigurationError as error:
        click.echo(f"twin: {error}", err=True)
        ctx.exit(2)
    try:
        asyncio.run(_serve(make, host, port, ledger_file))
    except OSError as error:
        click.echo(f"twin: {host}:{port}: {error.strerror or error}", err=True)
        ctx.exit(1)


async def _serve(
    make: Callable[[float], Twin], host: str, port: int, ledger_file: Path | None
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    played = make(loop.time())
    server = TwinServer(played, loop.time)
    try:
        bound = await server.start(host, port)
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"twin ready on http://{shown}:{bound}{played.options.path}")
        await stop.wait()
    finally:
        await server.stop()
    if ledger_file is not None:
        with ledger_file.open("wb") as file:
            file.writelines(ndjson(played.ledger.accepted_calls()))


def _script(script_file: Path | None, scenario: str | None, faults: tuple[str, ...]) -> Script:
    if script_file is not None and scenario is not None:
        raise ConfigurationError("--script and --scenario: give one of them")
    script = Script() if scenario is None else read_scenario(scenario).script
    if script_file is not None:
        try:
            script = read_script(yaml.safe_load(script_file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{script_file}: cannot be read: {error}") from error
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise ConfigurationError(f"{script_file}: not YAML: {where}") from error
    by_chance = tuple(_chance(text) for text in faults)
    return Script(rules=script.rules + by_chance, outages=script.outages, switches=script.switches)


def _chance(text: str) -> Rule:
    name, share = _pair(text, "--fault")
    parse_fault(name)
    try:
        likely = float(share)
    except ValueError:
        likely = -1.0
    if not 0.0 <= likely <= 1.0:
        raise ConfigurationError(f"--fault {text}: expected a share from 0 to 1")
    return Rule(fault=name, share=likely)


def _latency(text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    least, dash, most = text.partition("-")
    try:
        bounds = (float(least), float(most if dash else least))
    except ValueError:
        bounds = (1.0, 0.0)
    if bounds[0] > bounds[1]:
        raise ConfigurationError(f"--latency-ms {text}: expected milliseconds, as 20 or 20-200")
    return {"latency-ms-min": bounds[0], "latency-ms-max": bounds[1]}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"{option} {text}: expected {option} name=value")
    return name, value
