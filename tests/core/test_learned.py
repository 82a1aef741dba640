"""The learned bound of a request, by account."""

from __future__ import annotations

from service.core.learned import HOUR_MS, LearnedBounds


def test_a_refusal_by_size_halves_the_bound_of_its_account_alone() -> None:
    """Else every batch of the account would be refused once before it is cut."""
    bounds = LearnedBounds()
    bounds.lower("default", 500, 0)
    assert bounds.calls_max("default", 500, 0) == 250
    assert bounds.calls_max("0badc0de", 500, 0) == 500


def test_a_part_that_is_refused_lowers_it_further_and_a_late_answer_does_not_raise_it() -> None:
    """Sixteen batches are refused at once: the last answer must not undo the first."""
    bounds = LearnedBounds()
    bounds.lower("default", 250, 0)
    bounds.lower("default", 500, 1)
    assert bounds.calls_max("default", 500, 1) == 125


def test_one_call_is_the_least() -> None:
    """A bound of nothing would stop the account for ever."""
    bounds = LearnedBounds()
    bounds.lower("default", 1, 0)
    assert bounds.calls_max("default", 500, 0) == 1


def test_it_grows_back_slowly_and_ends_at_what_is_configured() -> None:
    """What was lowered by an accident of the provider must not stay low for ever."""
    bounds = LearnedBounds()
    bounds.lower("default", 400, 0)
    assert bounds.calls_max("default", 500, HOUR_MS) == 220
    assert bounds.calls_max("default", 500, 10 * HOUR_MS) == 400
    assert bounds.calls_max("default", 500, 15 * HOUR_MS) == 500
    assert bounds.states() == []


def test_a_successor_goes_on_with_it() -> None:
    """A takeover must not begin with refusals that are known."""
    bounds = LearnedBounds()
    bounds.lower("default", 400, 5)
    heir = LearnedBounds(bounds.states())
    assert heir.calls_max("default", 500, 5) == 200
