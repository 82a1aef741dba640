"""`python -m tests.acls`: each listed ACL is needed, and all together suffice; one line of JSON.

Knows nothing of how it is tried.
"""

from __future__ import annotations

import asyncio
import json
import sys

import click

from tests.acls.course import Refused
from tests.acls.listed import listed
from tests.acls.run import USERS, superfluous


@click.command()
@click.option("--user", "users", multiple=True, type=click.Choice(USERS), help="Only these.")
def main(users: tuple[str, ...]) -> None:
    """Play every user's part on a broker with an authorizer, without one ACL after the other."""
    users = users or USERS
    tried = sum(each.user in users for each in listed())
    failed = ""
    spare = []
    try:
        spare = asyncio.run(superfluous(users, click.echo))
    except Refused as refused:
        failed = str(refused)
    ok = not spare and not failed
    said = {"ok": ok, "acls": tried, "superfluous": [each.line for each in spare], "failed": failed}
    click.echo(json.dumps(said))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
