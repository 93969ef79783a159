"""Whether results are as their manifest says: ``python -m icl_contrastive.artifacts.verify``.

Needs nothing but Python, so that whoever receives results can check them.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from icl_contrastive.artifacts.checksum import sha256

MANIFEST = "manifest.json"
APART = ("logs", "benchmarks", MANIFEST)
"""What the manifest does not list, but belongs there."""


class NoManifestError(RuntimeError):
    """A folder that cannot be verified; the message says why and what to do."""


@dataclass(frozen=True)
class Findings:
    """Paths below the folder.

    Attributes:
        intact: as the manifest says.
        damaged: with other contents than the manifest says.
        missing: in the manifest, but not there.
        unknown: there, but not in the manifest.
    """

    intact: list[str]
    damaged: list[str]
    missing: list[str]
    unknown: list[str]


def verify(folder: Path) -> Findings:
    """Compare every file of the folder with the manifest.

    Raises:
        NoManifestError: the manifest is not there or cannot be read.
    """
    listed = _checksums(folder / MANIFEST)
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in APART
    }
    found = there & listed.keys()
    intact = {name for name in found if _is(folder / name, listed[name])}
    return Findings(
        *map(sorted, (intact, found - intact, listed.keys() - there, there - listed.keys()))
    )


def _checksums(manifest: Path) -> dict[str, str]:
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        return {name: entry["sha256"] for name, entry in entries.items()}
    except FileNotFoundError:
        raise NoManifestError(
            f"{manifest} does not exist; it is written at the end of a whole run (snakemake)"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoManifestError(
            f"{manifest} is damaged ({error!r}); delete it and run again to make it anew"
        ) from error


def _is(path: Path, checksum: str) -> bool:
    try:
        return sha256(path) == checksum
    except OSError:  # what cannot be read is damaged
        return False


def _folders(names: Iterable[str]) -> list[str]:
    """The names, those inside folders counted by the first one."""
    first = Counter(name.split("/")[0] + "/" * ("/" in name) for name in names)
    return [f"{name} ({count} files)" if "/" in name else name for name, count in first.items()]


def main(argv: Sequence[str] | None = None) -> int:
    """Say in plain words what was found; 0 if all is intact, 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m icl_contrastive.artifacts.verify", description=__doc__
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results"))
    folder: Path = parser.parse_args(argv).folder
    try:
        found = verify(folder)
    except NoManifestError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    lines = [
        *(
            f"damaged: {folder / name} is not what was made; delete it and run again"
            for name in found.damaged
        ),
        *(f"missing: {folder / name}; run again to make it anew" for name in found.missing),
    ]
    if found.unknown:
        lines.append(f"not in the manifest: {', '.join(_folders(found.unknown))}")
    counts = f"{len(found.damaged)} damaged, {len(found.missing)} missing"
    lines.append(f"{folder}: {len(found.intact)} artifacts intact, {counts}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.damaged or found.missing else 0


if __name__ == "__main__":
    sys.exit(main())
