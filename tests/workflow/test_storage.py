"""The worked example of workflow/docs/storage.md: results in a bucket, no folder is shared."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..project import NOTHING, SMOKE, Project, free_port

PACKAGES = (
    "moto",
    "flask",
    "snakemake_storage_plugin_s3",
    "snakemake_executor_plugin_cluster_generic",
)

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in PACKAGES),
    reason="needs the S3 plugin and a server: pip install -r requirements.lock",
)

# A machine of its own for each job: an empty folder, and nothing of the project in its environment.
SUBMIT = """\
#!/bin/bash
node=$(mktemp -d "$NODES/XXXXXX")
cp "$1" "$node/job.sh"
cd "$node"
(bash job.sh > job.log 2>&1 && echo success > status || echo failed > status) > /dev/null 2>&1 &
echo "$node"
"""
STATUS = """\
#!/bin/bash
cat "$1/status" 2> /dev/null || echo running
"""


class Server:
    """An S3 server on loopback, which takes any credentials."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def contents(self, bucket: str, prefix: str) -> dict[str, bytes]:
        """All objects below a prefix by the rest of their key."""
        import boto3

        store = boto3.resource(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="anyone",
            aws_secret_access_key="anything",  # noqa: S106
        ).Bucket(bucket)
        found = store.objects.filter(Prefix=prefix)
        return {one.key.removeprefix(prefix): one.get()["Body"].read() for one in found}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            with socket.socket() as knock:
                if knock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            pytest.fail(log.read_text())
        yield Server(port)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def clone(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Path]:
    """A repository with the project's sources, and the folder of the machines."""
    project = Project.copy(tmp_path / "clone")
    for command in (("init", "--quiet"), ("add", ".")):
        subprocess.run(["git", *command], cwd=project.root, check=True)
    nodes = tmp_path / "nodes"
    nodes.mkdir()
    for name, text in (("submit.sh", SUBMIT), ("status.sh", STATUS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("NODES", str(nodes))
    # Jobs on other machines call the first `python` there is, here of this one's environment.
    monkeypatch.setenv(
        "PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    )
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "anyone")
    monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_SECRET_KEY", "anything")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    # The server takes any key; whatever this machine has of its own is not to be asked for.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    return project, nodes


def test_a_bucket_holds_what_a_folder_would(
    clone: tuple[Project, Path], server: Server, smoke: Project
) -> None:
    project, nodes = clone
    storage = (
        *("figure_8", *SMOKE),
        *("--workflow-profile", "workflow/profiles/s3"),
        *("--default-storage-prefix", "s3://bucket/smoke"),
    )
    output = project.make(
        *storage,
        *("--executor", "cluster-generic", "--jobs", "2", "--seconds-between-status-checks", "1"),
        *("--cluster-generic-submit-cmd", nodes.parent / "submit.sh"),
        *("--cluster-generic-status-cmd", nodes.parent / "status.sh"),
    )
    ran = {re.findall(r"rule (\w+):", p.read_text())[0] for p in nodes.glob("*/job.log")}
    assert ran == {"pretrain", "equivalence"}, output
    assert not (project.root / "results").exists()
    theirs = smoke.artifacts()
    ours = server.contents("bucket", "smoke/results/")
    assert {"figures/figure_8.pdf", "pretrained/n31/softmax.safetensors"} <= set(ours)
    assert "logs/pretrained/n31/softmax.log" in ours
    assert {key for key in ours if key in theirs and ours[key] != theirs[key]} == set()
    assert set(ours) - set(theirs) == {key for key in ours if key.startswith(("logs/", "bench"))}
    assert NOTHING in project.make(*storage)
