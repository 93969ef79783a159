"""What is installed: under which licenses, and whether it is known to be vulnerable.

``make audit`` runs these tests alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import Distribution, distributions
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from .licenses import problem
from .vulnerabilities import UnreachableError, advisories

INSTALLED: dict[str, Distribution] = {
    canonicalize_name(one.metadata["Name"]): one for one in distributions()
}

_MIT_FILE = "names none in its metadata; its LICENSE file is MIT's"
EXPLAINED = {
    "conda-inject": _MIT_FILE,
    "snakemake-interface-common": _MIT_FILE,
    "snakemake-interface-logger-plugins": _MIT_FILE,
    "snakemake-interface-report-plugins": _MIT_FILE,
    "snakemake-interface-scheduler-plugins": _MIT_FILE,
    "snakemake-interface-storage-plugins": _MIT_FILE,
    "docutils": "public domain and BSD; the GPL is that of an Emacs mode, which is not installed",
}
"""Packages whose metadata do not say enough, looked up one by one."""

FROM_TORCH = ("nvidia-", "cuda-")
"""NVIDIA's own license, which comes with torch's CUDA builds alone and allows their use."""


def test_everything_installed_is_under_a_license_that_is_allowed() -> None:
    problems = {
        name: problem(one.metadata)  # type: ignore[arg-type]  # a Message by another name
        for name, one in INSTALLED.items()
        if name not in EXPLAINED and not name.startswith(FROM_TORCH)
    }
    assert {name: what for name, what in problems.items() if what} == {}


def test_what_is_explained_still_needs_it() -> None:
    """A package that has filled in its metadata since is checked like the others."""
    for name in EXPLAINED.keys() & INSTALLED.keys():
        assert problem(INSTALLED[name].metadata), name  # type: ignore[arg-type]


def package(**fields: str | list[str]) -> Message:
    metadata = Message()
    for name, value in fields.items():
        for one in [value] if isinstance(value, str) else value:
            metadata[name.replace("_", "-")] = one
    return metadata


GPL = "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (package(License_Expression="MIT AND (Apache-2.0 WITH LLVM-exception)"), None),
        (package(License_Expression="MIT AND AGPL-3.0-only"), "is under AGPL-3.0-only"),
        (package(License_Expression="LicenseRef-Own"), "is under LicenseRef-Own"),
        (package(Classifier=["License :: OSI Approved :: MIT License", "Topic :: X"]), None),
        (package(Classifier=[GPL]), "is under GNU General Public License v3 (GPLv3)"),
        (package(Classifier=["License :: OSI Approved"], License="BSD"), None),
        (package(License="Proprietary\n\nAll rights reserved"), "is under Proprietary"),
        (package(Classifier=["Topic :: X"], License=" "), "names no license"),
        (package(Name="x"), "names no license"),
    ],
)
def test_other_licenses_are_found(metadata: Message, said: str | None) -> None:
    assert problem(metadata) == said


def test_nothing_installed_is_known_to_be_vulnerable() -> None:
    versions = {name: one.version.partition("+")[0] for name, one in INSTALLED.items()}
    try:
        assert advisories(versions) == {}
    except UnreachableError as error:
        pytest.skip(str(error))


ANSWERS: dict[str, bytes] = {
    "/sound": json.dumps(
        {"results": [{"vulns": [{"id": "GHSA-1"}, {"id": "PYSEC-2"}]}, {}]}
    ).encode(),
    "/short": b'{"results": [{}]}',
    "/other": b"<html>blocked</html>",
    "/empty": b"",
    "/wrong": b'{"results": [1, 2]}',
}


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    """Address of a source of advisories on this machine, and what it was asked."""
    asked: list[Any] = []

    class Source(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path in ANSWERS else 404)
            self.end_headers()
            self.wfile.write(ANSWERS.get(self.path, b""))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Source) as source:
        thread = threading.Thread(target=source.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{source.server_port}", asked
        finally:
            source.shutdown()
            thread.join()


def test_advisories_are_found(server: tuple[str, list[Any]]) -> None:
    address, asked = server
    found = advisories({"old": "1.0", "new": "2.0"}, f"{address}/sound")
    assert found == {"old": ["GHSA-1", "PYSEC-2"]}
    packages = [{"name": name, "ecosystem": "PyPI"} for name in ("old", "new")]
    versions = ["1.0", "2.0"]
    queries = [{"package": p, "version": v} for p, v in zip(packages, versions, strict=True)]
    assert asked == [{"queries": queries}]


@pytest.mark.parametrize("path", ["/short", "/other", "/empty", "/wrong", "/missing"])
def test_no_answer_never_passes_for_a_good_one(server: tuple[str, list[Any]], path: str) -> None:
    with pytest.raises(UnreachableError, match=path):
        advisories({"old": "1.0", "new": "2.0"}, f"{server[0]}{path}")


def test_a_source_that_is_not_there_is_told(server: tuple[str, list[Any]]) -> None:
    with pytest.raises(UnreachableError, match="refused"):
        advisories({"old": "1.0"}, "http://127.0.0.1:1/")
