"""`python -m tests.supply`: completes the bill of materials, and judges it (`make sbom`).

What is installed comes from cyclonedx-py; the hashes of the lock, by which an installed file can be
told from another, are added here, and each licence as the expression that the page of dependencies
says. The last line is JSON; exits with 1 if the bill is not the lock's.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.supply.licences import given_on, licence
from tests.supply.lock import ROOT, RUNTIME, Locked, canonical, locked

HOME = ROOT / "build/sbom"
BILL = HOME / "call-dispatcher.cdx.json"
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(f"CycloneDX: {wrong}" if wrong else 0)
"""


def main() -> int:
    """The command; returns its exit code."""
    bill = json.loads((HOME / "environment.json").read_text())
    packages = locked(RUNTIME)
    components = bill["components"]
    wrong = _differences(components, packages)
    for component in components:
        package = packages.get(canonical(component["name"]))
        if package is not None:
            _complete(component, package)
    text = json.dumps(bill, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    BILL.write_text(text)
    wrong += _invalid(text)
    for line in wrong:
        sys.stdout.write(f"{line}\n")
    licences = sorted({licence(name) for name in packages})
    sys.stdout.write(
        json.dumps(
            {
                "ok": not wrong,
                "file": str(BILL.relative_to(ROOT)),
                "format": f"CycloneDX {bill['specVersion']}",
                "components": len(components),
                "hashes": sum(len(one.sha256s) for one in packages.values()),
                "licences": licences,
                "sha256": hashlib.sha256(text.encode()).hexdigest(),
            }
        )
        + "\n"
    )
    return 1 if wrong else 0


def _differences(components: Sequence[Any], packages: Mapping[str, Locked]) -> list[str]:
    """What the bill and the lock do not agree on, and what may not be given on."""
    billed = {(canonical(one["name"]), one["version"]) for one in components}
    held = {(one.name, one.version) for one in packages.values()}
    wrong = [f"{name} {version}: in one of bill and lock" for name, version in billed ^ held]
    return wrong + [
        f"{name}: {licence(name)} may not be given on"
        for name in packages
        if not given_on(licence(name))
    ]


def _complete(component: dict[str, Any], package: Locked) -> None:
    """The licence as one expression, and the hashes of the files that pip accepts."""
    component["licenses"] = [{"expression": licence(package.name), "acknowledgement": "declared"}]
    component.setdefault("externalReferences", []).append(
        {
            "type": "distribution",
            "url": f"pkg:pypi/{package.name}@{package.version}",
            "comment": "each file of this version that the lock accepts",
            "hashes": [{"alg": "SHA-256", "content": sha256} for sha256 in package.sha256s],
        }
    )


def _invalid(text: str) -> list[str]:
    ran = subprocess.run(
        [HOME / "tools/bin/python", "-c", VALIDATE],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return [ran.stderr.strip()] if ran.returncode else []


if __name__ == "__main__":
    raise SystemExit(main())
