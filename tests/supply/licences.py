"""Under which licence an installed package stands, as an SPDX expression.

Knows nothing of who needs the package. A package says it in one of four ways, of which only the
newest is an expression; words that are not known here are an error, so that a person looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution

GIVEN_ON = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "PSF-2.0"})
"""Ask for a notice only: what stands under them may be given on together with this program."""

WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache-2.0": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "MIT": "MIT",
    "MIT License": "MIT",
    "MPL-2.0": "MPL-2.0",
    "MPL-2.0 and MIT and BSD-3-Clause": "MPL-2.0 AND MIT AND BSD-3-Clause",
    "PSF-2.0": "PSF-2.0",
    "The MIT License (MIT)": "MIT",
}
"""What packages write instead of an expression: a field, a classifier, a licence's first line."""


def licence(package: str) -> str:
    """The licence of an installed package.

    Raises:
        LookupError: nothing that it says is known here.
    """
    metadata = distribution(package).metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    for words in _said(package):
        if words in WORDS:
            return WORDS[words]
    raise LookupError(f"{package} says {list(_said(package))}: add to WORDS what that means")


def given_on(expression: str) -> bool:
    """Whether we may give on what stands under this licence, for one choice of each OR."""
    return all(
        any(choice in GIVEN_ON for choice in part.split(" OR "))
        for part in expression.split(" AND ")
    )


def _said(package: str) -> Iterator[str]:
    found = distribution(package)
    if "License" in found.metadata:
        yield found.metadata["License"].strip()
    yield from found.metadata.get_all("Classifier", [])
    for path in found.files or ():
        if "licenses/" in str(path) and path.name.startswith("LICENSE"):
            yield str(path.read_text()).strip().partition("\n")[0].strip()
