"""What is installed: under which licenses, and how it is known to be vulnerable.

Nothing here asks anyone outside: an advisory of today is no fault of these files. ``make audit``
asks.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from .installed import installed
from .licenses import problem
from .vulnerabilities import UnreachableError, advisories, main

INSTALLED = installed()

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


def test_everything_installed_is_under_a_license_that_is_allowed() -> None:
    problems = {
        name: problem(one.metadata)  # type: ignore[arg-type]  # a Message by another name
        for name, one in INSTALLED.items()
        if name not in EXPLAINED
    }
    assert {name: what for name, what in problems.items() if what} == {}


def test_what_else_is_installed_is_no_concern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Foreign-1.0.dist-info").mkdir()
    (tmp_path / "Foreign-1.0.dist-info/METADATA").write_text("Name: Foreign\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = installed()
    assert "foreign" not in found
    assert {"numpy", "torch"} <= found.keys()


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


PAGES = {None: ("GHSA-1", "more"), "more": ("PYSEC-2", "last"), "last": ("PYSEC-3", None)}


def known(queries: list[dict[str, Any]], bad: str = "old") -> list[dict[str, Any]]:
    """What a source answers that knows one package as vulnerable, in pages of one advisory."""
    pages = [PAGES[query.get("page_token")] for query in queries]
    answers = [
        {"vulns": [{"id": name}]} | ({"next_page_token": token} if token else {})
        for name, token in pages
    ]
    return [
        answer if query["package"]["name"] == bad else {}
        for query, answer in zip(queries, answers, strict=True)
    ]


ANSWERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "/known": lambda queries: json.dumps({"results": known(queries)}).encode(),
    "/numpy": lambda queries: json.dumps({"results": known(queries, "numpy")}).encode(),
    "/sound": lambda queries: json.dumps({"results": [{} for _ in queries]}).encode(),
    "/short": lambda _: b'{"results": [{}]}',
    "/other": lambda _: b"<html>blocked</html>",
    "/empty": lambda _: b"",
    "/wrong": lambda _: b'{"results": [1, 2]}',
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy knows nothing of this machine's own addresses."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    """Address of a source of advisories on this machine, and what it was asked."""
    asked: list[Any] = []

    class Source(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            self.send_response(200 if self.path in ANSWERS else 404)
            self.end_headers()
            if self.path in ANSWERS:
                self.wfile.write(ANSWERS[self.path](body["queries"]))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Source) as source:
        thread = threading.Thread(target=source.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{source.server_port}", asked
        finally:
            source.shutdown()
            thread.join()


def test_advisories_are_found_on_all_pages(server: tuple[str, list[Any]]) -> None:
    address, asked = server
    found = advisories({"old": "1.0", "new": "2.0"}, f"{address}/known")
    assert found == {"old": ["GHSA-1", "PYSEC-2", "PYSEC-3"]}
    old, new = (
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in (("old", "1.0"), ("new", "2.0"))
    )
    further = [{"queries": [old | {"page_token": token}]} for token in ("more", "last")]
    assert asked == [{"queries": [old, new]}, *further]


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/numpy", 1, r"numpy \d.* is known to be vulnerable: GHSA-1, PYSEC-2, PYSEC-3\n"),
        ("/sound", 0, r"\d+ packages, 0 known to be vulnerable\n"),
        ("/other", 0, "not checked for known vulnerabilities: no advisories from http"),
    ],
)
def test_the_audit_says_what_is_known_and_fails_if_anything_is(
    server: tuple[str, list[Any]],
    capsys: pytest.CaptureFixture[str],
    path: str,
    code: int,
    said: str,
) -> None:
    assert main(f"{server[0]}{path}") == code
    assert re.match(said, capsys.readouterr().out)


@pytest.mark.parametrize("path", ["/short", "/other", "/empty", "/wrong", "/missing"])
def test_no_answer_never_passes_for_a_good_one(server: tuple[str, list[Any]], path: str) -> None:
    with pytest.raises(UnreachableError, match=path):
        advisories({"old": "1.0", "new": "2.0"}, f"{server[0]}{path}")


def test_a_source_that_is_not_there_is_told(server: tuple[str, list[Any]]) -> None:
    with pytest.raises(UnreachableError, match="refused"):
        advisories({"old": "1.0"}, "http://127.0.0.1:1/")
