"""What goes wrong at the provider itself: kinds of fault and the answers they stand for.

Knows nothing of networks or processes.
"""

from __future__ import annotations

import random

from service.twin.faults import Rule, Script

UNANSWERED = (
    "cut-before", "cut-after", "silence-before", "silence-after", "empty-after", "malformed-after",
    "truncated-after", "wrong-length-after", "drip-after", "http-502-before", "http-503-after",
    "http-504-after",
)  # fmt: skip
DOUBTFUL = (
    "code-500-inside", "code-500-after", "code-206-inside", "code-206-after", "code-213-after",
    "http-500-before", "http-500-after", "http-400-after",
)  # fmt: skip
DEFINITE = (
    *("code-208-inside", "code-303-inside", "http-413-before", "code-205-inside"),
    *("http-429-before", "code-400-inside", "code-210-inside"),
)
BYTES_ALONE = {
    *("code-303-inside", "http-413-before", "code-205-inside", "code-400-inside"),
    "code-210-inside",
}
HOLDING = ("code-301-inside", "code-204-inside", "code-401-inside", "code-212-inside",
           "http-403-before", "code-202-inside", "code-402-inside")  # fmt: skip
STRANGE = ("redirect-before", "http-404-before", "code-999-after", "http-405-after")


def draw(rng: random.Random, kinds: set[str], cases: set[str]) -> Script:
    """What goes wrong at the provider itself."""
    pools = {
        "unanswered": UNANSWERED,
        "doubtful": DOUBTFUL,
        "definite": DEFINITE,
        "outright": HOLDING,
        "strange": STRANGE,
    }
    rules = []
    for kind, pool in pools.items():
        if kind in kinds:
            for name in rng.sample(pool, rng.randint(1, min(4, len(pool)))):
                # What depends on the bytes alone is never said of bytes that were taken before.
                attempt = 1 if name in BYTES_ALONE else None
                share = rng.choice((0.03, 0.1, 0.25))
                rules.append(Rule(fault=name, share=share, attempt=attempt))
    if "d" in cases:
        rules.append(Rule(fault="code-205-after", share=0.05, attempt=1))
    rng.shuffle(rules)
    return Script(rules=tuple(rules))
