"""The exact elements of a batch's body, as its recipe has them.

Knows nothing of batches that are open, or of what is sent when.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from service.core import codec
from service.core.calls import Call
from service.core.codec import Recipe
from service.pipeline.batch import Batch


def unshifted(batch: Batch, first: Call, today: int) -> Recipe:
    """The batch's recipe for other calls: a moved start-time is its first call's, on its day."""
    recipe, day = batch.saved.recipe, batch.shift_day
    if first is batch.calls[0] and (day is None or day >= today):
        return recipe
    return msgspec.structs.replace(recipe, shift_time=None)


def fragment(call: Call, recipe: Recipe) -> bytes:
    """The exact element of a body, with the time of sealing if it needs one."""
    fill_at = call.fill_at
    if fill_at < 0:
        return call.fragment
    return codec.filled(call.fragment, fill_at, recipe.fill_time or "")


def fragments(calls: Sequence[Call], recipe: Recipe) -> list[bytes]:
    """The exact elements of a body."""
    if recipe.fill_time is None:
        made = [call.fragment for call in calls]
    else:
        made = [fragment(call, recipe) for call in calls]
    if recipe.shift_time is not None:
        made[0] = codec.shifted(made[0], calls[0].identifier, recipe.shift_time)
    return made
