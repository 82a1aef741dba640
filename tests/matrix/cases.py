"""The matrix's cases: every row's faults, in every profile, after every history.

Knows nothing of how a case is played.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Literal, get_args

from tests.matrix import table_apart, table_calls, table_codes, table_wire
from tests.matrix.words import CALLS, HISTORIES, Fault, History, Profile, Row
from tests.support.settings import SECURITY_ID

Group = Literal["together", "pauses", "unreachable", "distrust"]
"""Cases of one group share a dispatcher and a broker."""

PROFILES: tuple[Profile, ...] = get_args(Profile)
ROWS: dict[Group, Sequence[Row]] = {
    "together": (*table_codes.ROWS, *table_calls.ROWS, *table_wire.ROWS),
    "pauses": table_apart.PAUSES,
    "unreachable": table_apart.UNREACHABLE,
    "distrust": table_apart.DISTRUST,
}


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One batch of three calls, of a flow and (mostly) an account of its own."""

    number: int
    """Stands in its flow-id and in the uuids that its answers name."""
    profile: Profile
    group: Group
    fault: Fault
    history: History
    page: str
    expected: str
    """The table's cell."""

    @property
    def name(self) -> str:
        """Names it on the command line too."""
        return f"{self.profile}/{self.fault.name}/{self.history}"

    @property
    def flow_id(self) -> str:
        """Its flow."""
        return f"Mtrx{self.number:04d}"

    @property
    def security_id(self) -> str:
        """Of its flow, 64 letters and digits; another one is another account."""
        return f"Mtrx{self.number:04d}" * 8 if self.fault.own_account else SECURITY_ID

    @property
    def account(self) -> str:
        """The account's name on pages of the dispatcher (docs/operations.md)."""
        if not self.fault.own_account:
            return "default"
        return sha256(self.security_id.encode()).hexdigest()[:8]

    @property
    def taken(self) -> bool:
        """Whether its owner is killed while the first attempt is under way."""
        return self.history.startswith("taken")

    def identifier(self, letter: str) -> str:
        """The client-identifier of call a, b or c; the twin refuses by what it names."""
        code = self.fault.bad.get(letter)
        return f"{letter}-{self.number}" if code is None else f"{letter}-{self.number}-bad{code}"

    def uuid(self, letter: str) -> str:
        """The phonon-uuid that its answers name for a call."""
        return f"{ord(letter):08x}-0000-4000-8000-{self.number:012x}"

    @property
    def request_id(self) -> str:
        """The request-id that its answers name."""
        return self.uuid("r")

    def events(self) -> list[bytes]:
        """Its three events, in order."""
        return [json.dumps(self._event(letter)).encode() for letter in CALLS]

    def _event(self, letter: str) -> dict[str, Any]:
        return {
            "flow-id": self.flow_id,
            "client-identifier": self.identifier(letter),
            "contact-numbers": [f"98{CALLS.index(letter)}{self.number:07d}"],
        }


def all_cases() -> list[Case]:
    """Every case, numbered within its profile."""
    found = []
    for profile in PROFILES:
        number = 0
        for group, rows in ROWS.items():
            for row in rows:
                for fault in row.faults:
                    for history in HISTORIES:
                        expected = row.cell(history)
                        number += 1
                        if expected is not None:
                            found.append(
                                Case(number, profile, group, fault, history, row.page, expected)
                            )
    names = [case.name for case in found]
    assert len(names) == len(set(names)), "a case's name stands for one case"
    return found


def chosen(cases: Sequence[Case], patterns: Sequence[str]) -> list[Case]:
    """Those whose name fits one of the patterns (`*` for anything); all if there is none."""
    if not patterns:
        return list(cases)
    return [case for case in cases if any(fnmatchcase(case.name, each) for each in patterns)]


def grouped(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases that share a dispatcher together, the longest lists first."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.profile, case.group), []).append(case)
    return sorted(groups.values(), key=len, reverse=True)
