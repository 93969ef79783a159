"""The licenses that packages name in their metadata."""

from __future__ import annotations

import re
from email.message import Message

ALLOWED = {
    # SPDX
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT"),
    *("MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib", "LLVM-exception", "LGPL-3.0-or-later"),
    # as trove classifiers call the same
    *("Apache Software License", "BSD License", "MIT License", "ISC License (ISCL)"),
    *("Mozilla Public License 2.0 (MPL 2.0)", "Python Software Foundation License"),
    *("Public Domain", "BSD", "The Unlicense (Unlicense)", "W3C-20150513"),
    *("Apache License, Version 2.0", "GNU Lesser General Public License v3 or later (LGPLv3+)"),
}
"""Those that let anyone use the package in whatever they make, and share it on its own terms."""


def licenses(metadata: Message) -> set[str]:
    """Every license that a package names, in the newest of the three fields that it fills in."""
    if expression := metadata.get("License-Expression"):
        return set(re.split(r"\s+(?:AND|OR|WITH)\s+", re.sub("[()]", "", expression)))
    classifiers = metadata.get_all("Classifier") or []
    named = {c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")}
    if named - {"OSI Approved"}:
        return named - {"OSI Approved"}
    text = (metadata.get("License") or "").strip()
    return {text.partition("\n")[0]} if text else set()


def problem(metadata: Message) -> str | None:
    """What is wrong with a package's licenses; None if all that it names are allowed."""
    named = licenses(metadata)
    if not named:
        return "names no license"
    if strange := named - ALLOWED:
        return f"is under {', '.join(sorted(strange))}"
    return None
