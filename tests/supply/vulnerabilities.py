"""Known vulnerabilities of packages, from the advisories of https://osv.dev.

All packages are asked for at once, with the standard library alone: pip-audit would add 17 packages
to the environment, and says nothing of packages whose advisories it cannot reach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.error import URLError
from urllib.request import Request, urlopen

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
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in versions.items()
    ]
    body = json.dumps({"queries": queries}).encode()
    request = Request(source, body, {"Content-Type": "application/json"})  # noqa: S310  # https
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310
            results = json.load(answer)["results"]
        found = zip(versions, results, strict=True)
        listed = {name: [v["id"] for v in result.get("vulns", [])] for name, result in found}
    except (URLError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreachableError(f"no advisories from {source}: {error!r}") from error
    return {name: ids for name, ids in listed.items() if ids}
