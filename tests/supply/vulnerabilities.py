"""Known vulnerabilities of packages, from the advisories of https://osv.dev.

All packages are asked for at once, with the standard library alone: pip-audit would add 17 packages
to the environment, and says nothing of packages whose advisories it cannot reach.

python -m tests.supply.vulnerabilities    says what is known of what is installed
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.request import Request, urlopen

from .installed import installed

SOURCE = "https://api.osv.dev/v1/querybatch"


class UnreachableError(RuntimeError):
    """The advisories cannot be had; the message says why."""


def advisories(
    versions: Mapping[str, str], source: str = SOURCE, timeout: float = 20
) -> dict[str, list[str]]:
    """Ids of the advisories by package; packages without any are left out.

    Args:
        versions: by package of PyPI.
        source: address that answers OSV's batch queries.
        timeout: seconds for the connection, and for each read.

    Raises:
        UnreachableError: no answer, or none for every package.
    """
    queries: list[dict[str, Any]] = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in versions.items()
    ]
    found: dict[str, list[str]] = {}
    try:
        while queries:
            further = []
            for query, result in zip(queries, _answers(queries, source, timeout), strict=True):
                if ids := [vulnerability["id"] for vulnerability in result.get("vulns", [])]:
                    found.setdefault(query["package"]["name"], []).extend(ids)
                if token := result.get("next_page_token"):
                    further.append(query | {"page_token": token})
            queries = further
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreachableError(f"no advisories from {source}: {error!r}") from error
    return found


def _answers(queries: list[dict[str, Any]], source: str, timeout: float) -> list[dict[str, Any]]:
    body = json.dumps({"queries": queries}).encode()
    request = Request(source, body, {"Content-Type": "application/json"})  # noqa: S310  # https
    with urlopen(request, timeout=timeout) as answer:  # noqa: S310
        results: list[dict[str, Any]] = json.load(answer)["results"]
    return results


def main(source: str = SOURCE) -> int:
    """Say in plain words what is known; 1 if anything is, 0 if nothing is or there is no answer."""
    versions = {name: one.version.partition("+")[0] for name, one in installed().items()}
    try:
        found = advisories(versions, source)
    except UnreachableError as error:
        sys.stdout.write(f"not checked for known vulnerabilities: {error}\n")
        return 0
    for name, ids in found.items():
        sys.stdout.write(f"{name} {versions[name]} is known to be vulnerable: {', '.join(ids)}\n")
    sys.stdout.write(f"{len(versions)} packages, {len(found)} known to be vulnerable\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
