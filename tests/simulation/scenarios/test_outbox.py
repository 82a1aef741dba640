"""Results of batches whose events come from several partitions."""

from __future__ import annotations

import json

from service.core.calls import KeptRecord
from service.core.outcomes import Acceptance, template_of
from service.pipeline.outbox import Outbox, Targets
from tests.support.calls import call_of

RESULTS = "calls.results"
TARGETS = Targets(RESULTS, 2, "calls.dead-letters", 2, 10**6, 10**6, "group")
ACCEPTANCE = Acceptance("b", "AbCd1234", "r", 202, "response", 1, 1_767_605_401_250)


def test_each_uuid_stays_with_its_call_and_each_try_writes_the_same() -> None:
    """A uuid of another customer's call, or a second try without results, could not be mended."""
    records = [KeptRecord("calls.requests", at % 3, at, 77, b"k", b"{}") for at in range(9)]
    calls = [call_of(r, "AbCd1234", b'"c%d"' % r.offset) for r in records]
    outbox = Outbox()
    outbox.accepted((template_of(ACCEPTANCE), calls[:5], [f"u{at}" for at in range(5)]), {})
    outbox.accepted((template_of(ACCEPTANCE), calls[5:], [f"u{at}" for at in range(5, 9)]), {})
    writes = TARGETS.results_of(outbox.taken, ())
    first = {tp: list(some) for tp, some in writes.items()}
    assert first == {tp: list(some) for tp, some in writes.items()}
    for partition in range(2):
        values = [json.loads(value or b"") for _, value, _ in first[RESULTS, partition]]
        offsets = [record.offset for record in records if record.partition % 2 == partition]
        assert [value["source"]["offset"] for value in values] == offsets
        assert [value["phonon-uuid"] for value in values] == [f"u{at}" for at in offsets]
        assert [value["client-identifier"] for value in values] == [f"c{at}" for at in offsets]
