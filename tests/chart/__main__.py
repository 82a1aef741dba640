"""`python -m tests.chart`: the packaged chart by both Helms, for each Kubernetes, over all values.

The last line is JSON; exits with 1 if anything is wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chart.breakages import EDITS, VALUES, unnoticed
from tests.chart.containers import refusals
from tests.chart.helm import Helm, Object, RefusedError, Rendered, helm
from tests.chart.rules import broken
from tests.chart.schemas import faults, versions
from tests.chart.tools import version
from tests.chart.value_sets import REFUSALS, SETS, whole

MAJORS = (3, 4)


def _packaged(folder: Path) -> list[Helm]:
    """Both versions of Helm, each on the chart as it packages it."""
    helms = []
    for major in MAJORS:
        place = folder / str(major)
        place.mkdir()
        program = helm(major)
        program.lint(VALUES)
        helms.append(Helm(program.program, program.package(place)))
    return helms


def _rendered(helms: list[Helm], wrong: list[str]) -> dict[str, Rendered]:
    """Each set's release; both versions of Helm must make the same of it."""
    found = {}
    for name, values in SETS.items():
        one, other = (each.render(whole(values)) for each in helms)
        if one.objects != other.objects:
            wrong.append(f"{name}: Helm 3 and 4 differ")
        found[name] = other
    return found


def _not_refused(helms: list[Helm]) -> Iterator[str]:
    for name, (values, words) in REFUSALS.items():
        for each in helms:
            try:
                each.render(whole(values))
                yield f"{name}: rendered"
            except RefusedError as error:
                if words not in str(error):
                    yield f"{name}: {error}"
    for each in helms:
        try:
            each.render(VALUES, "--kube-version", "1.24.17")
            yield "Kubernetes 1.24: rendered"
        except RefusedError:
            pass


def _distinct(releases: dict[str, Rendered]) -> list[Object]:
    objects = [one for release in releases.values() for one in release.objects]
    return list({json.dumps(one, sort_keys=True): one for one in objects}.values())


def main() -> int:
    """The command. Returns its exit code."""
    wrong: list[str] = []
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        helms = _packaged(folder)
        releases = _rendered(helms, wrong)
        objects = _distinct(releases)
        for name, release in releases.items():
            wrong += [f"{name}: {fault}" for fault in broken(release)]
            wrong += [f"{name}: {fault}" for fault in refusals(release, folder)]
        for kubernetes in versions():
            wrong += [fault for one in objects for fault in faults(one, kubernetes)]
        wrong += _not_refused(helms)
        wrong += [f"not noticed: {one}" for one in unnoticed(helms[-1].program, folder)]
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    figures = {
        "ok": not wrong,
        "objects": len(objects),
        "versions": len(versions()),
        "value_sets": len(SETS),
        "helm": [version(each.program) for each in helms],
        "refusals": len(REFUSALS),
        "breakages_noticed": len(EDITS) - sum("not noticed" in line for line in wrong),
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
