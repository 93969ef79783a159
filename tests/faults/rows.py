"""The table of faults in workflow/docs/faults.md: what each test here makes.

python -m tests.faults.rows    renews the table
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "workflow/docs/faults.md"
BEGIN, END = "<!-- faults:begin -->\n", "<!-- faults:end -->\n"


@dataclass(frozen=True)
class Row:
    """A fault of the table.

    Attributes:
        fault: its name, by which a test says that it makes it.
        made: how.
        outcome: what happened.
        lost: beyond what was at work at that moment.
        test: where it is made, as pytest knows it.
    """

    fault: str
    made: str
    outcome: str
    lost: str
    test: str

    def __str__(self) -> str:
        link = f"[{Path(self.test.partition('::')[0]).stem}](../../{self.test.partition('::')[0]})"
        cells = (f"{self.fault} ({link})", self.made, self.outcome, self.lost)
        return f"| {' | '.join(cells)} |"


NOTHING = "nothing"
KILLS, RESOURCES, DAMAGE, FOREIGN, AROUND = (
    f"tests/faults/test_{name}.py"
    for name in ("kills", "resources", "damage", "foreign", "surroundings")
)
MANIFEST = "tests/end_to_end/test_manifest.py"
RERUNS = "tests/workflow/test_reruns.py"

ROWS = [
    Row(
        "SIGKILL of Snakemake",
        "while it builds the graph, while steps run, as jobs end, each with a random delay; its "
        "orphaned jobs are killed too, or left to end, or still at work during the next run",
        "The folder is locked, and the next run says so. After `--unlock`, `--rerun-incomplete` "
        "goes on; in the end all artifacts are byte-identical to those of an undisturbed run.",
        NOTHING,
        f"{KILLS}::test_sigkill_of_snakemake",
    ),
    Row(
        "SIGKILL of a running job",
        "of the process that computes, as the kernel does when memory is short",
        "Snakemake names the job and its log and ends when the others have; run again, it goes on "
        "to the same bytes. No lock, no partial artifact.",
        NOTHING,
        f"{KILLS}::test_sigkill_of_a_step",
    ),
    Row(
        "SIGKILL in the middle of a write",
        "of a program that writes as all steps do, without Snakemake: after 0, 1, 50, 99 and 100 % "
        "of the bytes, before the rename",
        "The artifact is absent or the old one. A hidden file `.<name>.<random>.<suffix>` stays "
        "behind, which nothing reads and which may be deleted.",
        NOTHING,
        f"{KILLS}::test_sigkill_in_a_write",
    ),
    Row(
        "SIGINT (Ctrl-C)",
        "half of them to all processes, as a terminal does, half to Snakemake alone, which waits "
        "for its running jobs",
        "Snakemake ends by itself, leaving no process and no lock; `--rerun-incomplete` goes on to "
        "the same bytes. In the middle of its own asynchronous code, Snakemake may end in a "
        "traceback (`CancelledError`).",
        NOTHING,
        f"{KILLS}::test_sigint",
    ),
    Row(
        "Two Snakemakes in one folder",
        "a second one is started while jobs of the first run, with `--rerun-incomplete`",
        "The second refuses: `LockException`, “make sure that no other Snakemake process is trying "
        "to create the same files” (without the option it may first name an artifact that the "
        "first is at). The first ends as if alone.",
        NOTHING,
        f"{KILLS}::test_two_snakemakes",
    ),
    Row(
        "A job that hangs",
        "a feature family of the user's that never returns",
        "Snakemake waits, as nothing ends a slow job on one's own machine. The job's `log:` is "
        "named and says how far it came. Ctrl-C frees all: no process, no lock, no artifact of it.",
        NOTHING,
        f"{KILLS}::test_a_job_that_hangs",
    ),
    Row(
        "A job over its time",
        "SIGTERM and SIGXCPU to the step, as batch systems send them, with `--retries`; SIGTERM "
        "without",
        "With `--retries`, “Trying to restart job”, and the same bytes; without, as with SIGKILL "
        "of a job. On one's own machine nothing enforces `runtime`.",
        NOTHING,
        f"{KILLS}::test_a_job_over_its_time",
    ),
    Row(
        "A job of a cluster cancelled, over its time or over its memory",
        "scancel, a time limit and a process that is killed, on a real Slurm",
        "Snakemake shows what became of it and tries it again, with more; the same bytes.",
        NOTHING,
        "tests/cluster/test_slurm.py::"
        "test_what_is_cancelled_or_takes_too_much_is_tried_again_and_what_fails_is_shown",
    ),
    Row(
        "SIGKILL of Snakemake on a cluster",
        "while a job is at work there",
        "The job goes on; cancelled by the name of the run, and after `--unlock`, the next run "
        "finishes ([clusters](clusters.md)).",
        NOTHING,
        "tests/cluster/test_slurm.py::"
        "test_after_a_kill_of_snakemake_its_jobs_are_cancelled_and_it_goes_on",
    ),
    Row(
        "A job over its memory",
        "an address space of 8 GiB, without Snakemake: too small for the data of a step, and for "
        "a tensor of torch in a program that is run as steps are",
        "`error: out of memory (…); run fewer jobs at once or on a larger machine`, in one line, "
        "and no artifact.",
        NOTHING,
        f"{RESOURCES}::test_a_job_over_its_memory",
    ),
    Row(
        "Disk full",
        "results on a file system of 64, then 300 KiB",
        "`error: results/… cannot be written (… No space left on device …)` in the job's log; no "
        "partial artifact. With more room, the run goes on to the same bytes.",
        NOTHING,
        f"{RESOURCES}::test_disk_full",
    ),
    Row(
        "A file over the quota",
        "a limit of 40 KiB per file",
        "`error: results/… cannot be written (… File too large …)`; as with a full disk.",
        NOTHING,
        f"{RESOURCES}::test_a_file_over_the_quota",
    ),
    Row(
        "Results that cannot be written to",
        "a read-only mount, with a figure's one file missing, then both",
        "`Write-protected output files for rule …`, or, where none is there, Snakemake's own "
        "traceback that ends in `Read-only file system: 'results/…'`. No lock stays. What is made "
        "already is still up to date.",
        NOTHING,
        f"{RESOURCES}::test_read_only_results",
    ),
    Row(
        "A cut, a flipped bit or nothing at all in a safetensors file",
        "at random places of header and data of five artifacts, read without Snakemake",
        "`error: results/… is damaged (…); delete it and run again to make it anew`: every one is "
        "found, since each file carries a checksum.",
        NOTHING,
        f"{DAMAGE}::test_damaged_tensors",
    ),
    Row(
        "A cut or nothing at all in a table",
        "at random places of five tables, but not at the end of a row; read without Snakemake",
        "The same message: every one is found.",
        NOTHING,
        f"{DAMAGE}::test_cut_tables",
    ),
    Row(
        "A table cut at the end of a row",
        "at random rows of five tables, read without Snakemake",
        "What is left is a table, which whoever reads it takes for whole, as it has no checksum of "
        "its own. The check of `make verify` names every one, and so does that of the manifest's "
        "job, with which a whole run ends that makes anything of it.",
        "the table, until one of them names it",
        f"{DAMAGE}::test_tables_without_their_last_rows",
    ),
    Row(
        "A flipped bit in a table",
        "at random places of five tables, read without Snakemake",
        "Some are told by whoever reads the table; the others, such as a digit that became "
        "another, are not. The check of `make verify` names every one, and so does that of the "
        "manifest's job, with which a whole run ends that makes anything of it.",
        "the table, until one of them names it",
        f"{DAMAGE}::test_flipped_bits_in_tables",
    ),
    Row(
        "A cut, a flipped bit or nothing at all in config.yaml",
        "at random places of the project's own, not of the smoke configuration; checked and read "
        "as at the start of a run, without Snakemake",
        "Mostly refused in words. What still makes sense is another experiment, or the same where "
        "only a comment is hit.",
        NOTHING,
        f"{DAMAGE}::test_damaged_config",
    ),
    Row(
        "A damaged artifact in the middle of the pipeline",
        "a flipped bit in data, an empty safetensors file, a cut table",
        "What is made from it fails and names it in its log; nothing is drawn. Deleted and run "
        "again, all artifacts have the same bytes.",
        NOTHING,
        f"{DAMAGE}::test_damage_in_the_middle",
    ),
    Row(
        "An artifact of another kind given to a step",
        "steps and a figure, run without Snakemake, with data for weights, weights for data, one "
        "table for another, …",
        "`error: … is of another kind or version: it has no 'W_Q', but …`, never a traceback.",
        NOTHING,
        f"{FOREIGN}::test_another_kind",
    ),
    Row(
        "Old results, of another version or config",
        "given to steps and a figure without Snakemake: data of another seed or number of runs, a "
        "layer of another model, tensors without what made them or under other names, a table that "
        "lacks a column",
        "`error: results/… was made with seed = 1, and the config now says 2023; delete it and run "
        "again …`, or the same for a column or name that is missing. No output.",
        NOTHING,
        f"{FOREIGN}::test_old_results",
    ),
    Row(
        "Divergence in training",
        "a learning rate of 10⁶, with `--keep-going`",
        "`error: variant wild in setting n31: the training error of run 0 is not finite after "
        "epoch 1; lower the learning rate (now 1e+06)`. All that does not need it is made.",
        NOTHING,
        f"{FOREIGN}::test_divergence_in_training",
    ),
    Row(
        "Divergence in the descent of a regularized variant",
        "α = −10³⁰ and −10²⁰⁰ in the equivalence's step, run without Snakemake",
        "`error: variant … in setting n15: the descent … of run 0 is not finite in epoch 1 …; "
        "lower the size of alpha …`.",
        NOTHING,
        f"{FOREIGN}::test_divergence_in_a_descent",
    ),
    Row(
        "A figure deleted",
        "its PNG, another's PDF",
        "One job: it is drawn again, with the same bytes.",
        NOTHING,
        f"{AROUND}::test_a_deleted_figure",
    ),
    Row(
        "An artifact edited by hand",
        "numbers of a table",
        "What is made from it is made again, from the edited table; then the run ends with an "
        "error that names it: `changed since their jobs wrote them`. So does `make verify`. "
        "Deleted, it is made anew.",
        NOTHING,
        f"{MANIFEST}::test_a_table_edited_by_hand_never_enters_the_manifest",
    ),
    Row(
        "Times of files in the past or the future",
        "of all results, by up to ten years",
        "Nothing runs again: contents decide. But an edit that is dated back, as by `rsync -t` or "
        "`cp -p` from a backup, goes unnoticed by Snakemake. In results, `make verify` names it; "
        "after one of sources, `--forceall` is needed.",
        NOTHING,
        f"{AROUND}::test_times_of_files",
    ),
    Row(
        "The clock put back between jobs",
        "as files show it: the times of all that is there are set ten years ahead of what is made "
        "from it",
        "`Output results/… has older modification time than input results/…. This could indicate a "
        "clock skew problem`, says Snakemake, and removes that output. After "
        "`find results -exec touch {} +` the run goes on: only what was missing, the same bytes.",
        NOTHING,
        f"{AROUND}::test_the_clock_put_back",
    ),
    Row(
        "Another locale and time zone",
        "C, POSIX without UTF-8; 14 hours ahead of UTC, 9 behind",
        "The same bytes.",
        NOTHING,
        f"{AROUND}::test_locales",
    ),
    Row(
        "A Turkish or German locale",
        "with their decimal commas; 5:45 ahead of UTC",
        "The same bytes.",
        NOTHING,
        f"{AROUND}::test_locales_with_decimal_commas",
    ),
    Row(
        "Spaces, quotes, unicode and shell code in the path",
        "of the project, and of the working folder",
        "The same bytes, and nothing of it is run. Only `{` and `}` are refused, in words, as "
        "Snakemake cannot have them in the project's path.",
        NOTHING,
        "tests/workflow/test_hostile.py::test_a_hostile_path_is_a_path",
    ),
    Row(
        "A relocated folder",
        "project and results moved, together",
        "Nothing runs again. Nor where results lie outside the project, or below a folder of it as "
        "with `make smoke`, and either is moved or mounted elsewhere.",
        NOTHING,
        f"{RERUNS}::test_a_move_reruns_nothing",
    ),
    Row(
        "Results without their `.snakemake`",
        "only `results/` taken along, and the seed changed",
        "“11 jobs have missing provenance/metadata”, says Snakemake, and takes them as they are. "
        "A step refuses tensors (tables do not say what made them) where its slice of the config "
        "has a key of theirs that differs, as seed, runs, model and features: `error: results/… "
        "was made with seed = 2023, and the config now says 1; delete it and run again …`.",
        NOTHING,
        f"{FOREIGN}::test_results_without_their_record",
    ),
]


def table() -> str:
    """The rows as Markdown."""
    head = ["| fault | how it is made | what happens | what is lost |"]
    return "\n".join([*head, "|---|---|---|---|", *map(str, ROWS)]) + "\n"


def page(text: str) -> str:
    """The page with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
