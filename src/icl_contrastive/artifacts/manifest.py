"""The manifest of a results folder: the checksum of every artifact, and what made it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from icl_contrastive.artifacts.checksum import sha256
from icl_contrastive.artifacts.files import write_atomically


class EditedArtifactError(RuntimeError):
    """Artifacts that are not as their jobs wrote them; the message names them."""

    def __init__(self, paths: Iterable[Path]) -> None:
        names = "\n".join(f"  {path}" for path in paths)
        super().__init__(
            f"changed since their jobs wrote them:\n{names}\n"
            "what was made from them is not to be trusted: delete them and run again"
        )


class OtherOriginError(RuntimeError):
    """Artifacts of another config or code than now; the message names them and what differs."""

    def __init__(self, different: Mapping[Path, Iterable[str]]) -> None:
        names = "\n".join(f"  {path} ({', '.join(what)})" for path, what in different.items())
        super().__init__(
            f"not made with what the config and the code now are:\n{names}\n"
            "delete them and run again, or go back to the config and the code that made them"
        )


def write_manifest(path: Path, made_by: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write the manifest beside its artifacts, one in a line, by their paths from there.

    Args:
        path: of the manifest.
        made_by: of every artifact, what is known of its making; ``wrote``, if it is there, are the
            checksums of the files that the job wrote, by name, and ``now`` the config and the code
            that would make it now.

    Raises:
        EditedArtifactError: artifacts differ from what their jobs wrote.
        OtherOriginError: artifacts were made with another config or code than would make them now.
    """
    entries, edited, different = {}, [], {}
    for artifact, making in made_by.items():
        about = dict(making)
        checksum = sha256(artifact)
        if about.pop("wrote", {}).get(artifact.name, checksum) != checksum:
            edited.append(artifact)
        now = about.pop("now", {})
        if what := _differences(about, now):
            different[artifact] = what
        name = Path(os.path.relpath(artifact, path.parent)).as_posix()
        size = artifact.stat().st_size
        entries[name] = {"bytes": size, "sha256": checksum, "made_by": about}
    if edited:
        raise EditedArtifactError(edited)
    if different:
        raise OtherOriginError(different)
    lines = (
        f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True)}"
        for name, entry in sorted(entries.items())
    )
    write_atomically(path, partial(_write, "{\n" + ",\n".join(lines) + "\n}\n"))


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys of the config that differ, and ``code`` if it does; nothing if a side is not known."""
    if not {"config", "code"} <= then.keys() & now.keys():
        return []
    old, new = then["config"], now["config"]
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    return keys + ["code"] * (then["code"] != now["code"])


def record_in(log: Path) -> dict[str, Any]:
    """What a step's log says of its making; nothing if there is no such log or line."""
    try:
        text = log.read_text(encoding="utf-8")
        line = text.rpartition("made with ")[2].partition("\n")[0]
        record: dict[str, Any] = json.loads(line)
    except (OSError, ValueError):
        return {}
    return record


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
