"""What provider-api.md demands of what concerns the whole dispatcher, and so is played apart.

That is 429, no connection, and `checksum_confirms: false`. Written by hand from that page. Knows
nothing of how a verdict is reached.
"""

from __future__ import annotations

from tests.matrix.words import Fault, Row, Rule, Says, always

BACK_IN_TIME = "Wed, 21 Oct 2015 07:28:00 GMT"


def paused(name: str, retry_after: str | None = None, times: int | None = 2) -> Fault:
    """A bare 429, so often."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    page = Says(status=429, raw="<html>Slow down</html>", headers=headers)
    return Fault(name, (Rule("says-inside", page, times=times),))


PAUSES = (
    Row(
        page="HTTP 429: definite, pause; no attempt is counted, but it is a refusal",
        faults=(
            paused("429-once", times=1),
            paused("429-more-often-than-retries", times=8),
            paused("429-seconds", "1"),
            paused("429-zero", "0"),
            paused("429-unreadable", "soon"),
            paused("429-negative", "-5"),
            paused("429-fraction", "0.5"),
            paused("429-past-date", BACK_IN_TIME),
        ),
        first="accepted",
        lost="accepted",
        kept="unconfirmed 201",
        failed="accepted",
        reminted="accepted",
        taken_lost="accepted",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="HTTP 429 for good: waits, nothing is dead-lettered",
        faults=always("http-429"),
        first="waits, then accepted",
        lost="waits, then accepted",
        kept="waits, then unconfirmed 201",
        failed="waits, then accepted",
        reminted="waits, then accepted",
        taken_lost="waits, then accepted",
        taken_kept="waits, then unconfirmed 201",
    ),
    Row(
        page="a code outranks HTTP 429, which pauses all the same: success",
        faults=(
            Fault(
                "200-under-429",
                (Rule("says-after", Says(200, request_id=True, status=429), times=1),),
                200,
                request_id=True,
            ),
        ),
        first="accepted *",
        lost="accepted *",
        kept="accepted *",
        failed="accepted *",
        reminted="accepted *",
        taken_lost="accepted *",
        taken_kept="accepted *",
    ),
    Row(
        page="a code outranks HTTP 429: a call is refused",
        faults=(
            Fault("205-under-429", (Rule("says-inside", Says(205, status=429), times=5),), 205),
        ),
        first="rejected *",
        lost="rejected *",
        kept=None,
        failed="rejected *",
        reminted="rejected *",
        taken_lost="rejected *",
        taken_kept=None,
    ),
)
"""The other flows of the same dispatcher rest as well."""

UNREACHABLE = (
    Row(
        page="no connection, no such host, TLS failure: not sent, retried freely",
        faults=(Fault("unreachable"),),
        first="waits, then accepted",
        lost="waits, then accepted",
        kept="waits, then checksum",
        failed="waits, then accepted",
        reminted="waits, then accepted",
        taken_lost="waits, then accepted",
        taken_kept="waits, then checksum",
    ),
)
"""The provider cannot be reached in these three ways, one after the other."""

DISTRUST = (
    Row(
        page="checksum_confirms false: a 201 after attempts that had no answer tells nothing",
        faults=(Fault("201-distrusted", (Rule("code-201"),), 201),),
        first="duplicate 201",
        lost="unconfirmed 201",
        kept="unconfirmed 201",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="unconfirmed 201",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="checksum_confirms false: what was placed while its answer was lost",
        faults=(
            Fault("cut-distrusted", (Rule("cut-after", times=1),)),
            Fault("silence-distrusted", (Rule("silence-after", times=1),)),
            Fault("503-distrusted", (Rule("http-503-after", times=1),)),
        ),
        first="unconfirmed 201",
        lost="unconfirmed 201",
        kept="unconfirmed 201",
        failed="unconfirmed 201",
        reminted="unconfirmed 201",
        taken_lost="unconfirmed 201",
        taken_kept="unconfirmed 201",
    ),
    Row(
        page="checksum_confirms false: all else is as it was",
        faults=(Fault("well-distrusted"),),
        first="accepted",
        lost="accepted",
        kept="unconfirmed 201",
        failed="accepted",
        reminted="accepted",
        taken_lost="accepted",
        taken_kept="unconfirmed 201",
    ),
)
"""For a provider that is known to record checksums of requests that it then loses."""
