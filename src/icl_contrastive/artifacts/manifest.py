"""The manifest of a results folder: the checksum of every artifact, and what made it."""

import json
import os
from collections.abc import Iterable
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


def write_manifest(path: Path, artifacts: Iterable[Path], logs: Path) -> None:
    """Write the manifest beside its artifacts, one in a line, by their paths from there.

    Args:
        path: of the manifest.
        artifacts: what it lists.
        logs: the folder of the logs, in which jobs say what they wrote and what made it. Of an
            artifact without a log nothing is known.

    Raises EditedArtifactError if artifacts differ from what their jobs wrote.
    """
    made_by: dict[tuple[str, str], dict[str, Any]] = {}
    for log in sorted(logs.rglob("*.log")):
        record = record_in(log)
        made_by |= dict.fromkeys(record.pop("wrote", {}).items(), record)
    written = {name for name, _ in made_by}
    entries, edited = {}, []
    for artifact in artifacts:
        checksum = sha256(artifact)
        made = made_by.get((artifact.name, checksum), {})
        if artifact.name in written and not made:
            edited.append(artifact)
        name = Path(os.path.relpath(artifact, path.parent)).as_posix()
        size = artifact.stat().st_size
        entries[name] = {"bytes": size, "sha256": checksum, "made_by": made}
    if edited:
        raise EditedArtifactError(edited)
    lines = (
        f"{json.dumps(name)}: {json.dumps(entry, sort_keys=True)}"
        for name, entry in sorted(entries.items())
    )
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def record_in(log: Path) -> dict[str, Any]:
    """What a step's log says of its making; nothing if there is no such log or line."""
    try:
        text = log.read_text(encoding="utf-8")
        line = text.rpartition("made with ")[2].partition("\n")[0]
        record: dict[str, Any] = json.loads(line)
    except (OSError, ValueError):
        return {}
    return record
