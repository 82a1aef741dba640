"""What a process has heard, although its turn was never committed."""

from __future__ import annotations

from service.core.verdicts import Attempt, End
from service.pipeline.heard import MINTS_MAX, Heard

LOST = Attempt(End.UNANSWERED, None, 1)
FAILED = Attempt(End.DOUBTFUL, 206, 1)
REFUSED = Attempt(End.REFUSED, 402, 1)


def test_an_answer_that_no_checkpoint_holds_is_added_once() -> None:
    """Forgotten, a 201 would be taken for proof that the call was placed."""
    heard = Heard()
    heard.note("b", 0, FAILED)
    heard.note("b", 0, LOST)
    assert heard.merged("b", 0, (LOST,)) == (LOST, FAILED)
    assert heard.merged("b", 0, (FAILED, LOST)) == (FAILED, LOST)
    assert heard.merged("b", 1, (LOST,)) == (LOST,)


def test_two_answers_alike_are_two() -> None:
    """One of them is in the checkpoint, the other is not."""
    heard = Heard()
    for attempt in (FAILED, FAILED, REFUSED):
        heard.note("b", 2, attempt)
    assert heard.merged("b", 2, (FAILED,)) == (FAILED, FAILED, REFUSED)


def test_the_memory_is_bounded() -> None:
    """A provider that fails for a week must not fill the memory."""
    heard = Heard()
    for number in range(MINTS_MAX + 1):
        heard.note(str(number), 0, FAILED)
    assert heard.merged("0", 0, ()) == ()
    assert heard.merged("1", 0, ()) == (FAILED,)
