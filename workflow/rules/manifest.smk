"""The manifest: the checksum of every artifact and what made it, for `make verify`.

In: all artifacts, and the logs, in which the steps say what they are made with.
Out: results/manifest.json.
"""


rule manifest:
    input:
        code=code("artifacts.manifest"),
        artifacts=artifacts,
    output:
        "results/manifest.json",
    log:
        "results/logs/manifest.log",
    benchmark:
        "results/benchmarks/manifest.tsv"
    localrule: True
    threads: 1
    resources:
        **table_needs,
    run:
        from icl_contrastive.artifacts.manifest import write_manifest

        manifest = Path(output[0])
        write_manifest(manifest, map(Path, input.artifacts), manifest.parent / "logs")
