"""One way to break the program: which text of which file becomes which.

Knows nothing of who notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class MutationError(Exception):
    """The code has changed, and the mutation no longer says where it is to be broken."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fault of ours that must not go unnoticed."""

    name: str
    file: str
    """Below `service`."""
    old: str
    """Stands exactly once in the file."""
    new: str
    tests: tuple[str, ...] = ()
    """What must fail, as arguments for pytest; none: the simulator."""
    also: tuple[Mutation, ...] = ()
    """What must be broken with it, where one guard stands behind another."""

    def apply(self, tree: Path) -> None:
        """Break the copy of the program at `tree`.

        Raises:
            MutationError: the old text does not stand exactly once in its file.
        """
        path = tree / "service" / self.file
        text = path.read_text()
        if (count := text.count(self.old)) != 1:
            raise MutationError(
                f"{self.name}: service/{self.file} has {count} times, not once:\n{self.old}"
            )
        path.write_text(text.replace(self.old, self.new))
        for other in self.also:
            other.apply(tree)
