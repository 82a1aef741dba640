"""Two rounds of chaos on real processes; `make chaos` plays more of them."""

from __future__ import annotations

import pytest

from tests.chaos.run import play

SEED = 24
"""A killed broker, lost answers and a killed owner; then a replica whose way to Kafka stalls."""


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_whatever_breaks() -> None:
    """The promises would hold in simulations only: a customer is called twice, or never."""
    said: list[str] = []
    chaos = await play(2, SEED, 2, said.append, measured=False)
    assert not chaos.trouble, "\n".join([*said, *chaos.trouble])
    assert chaos.report.clean, "\n".join(said)
    assert chaos.report.rounds == 2
    assert chaos.report.events
