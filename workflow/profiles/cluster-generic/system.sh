# The batch system, in three functions. This one is no more than processes in the background of
# this machine, without a queue or a limit of memory. Below are others: Slurm's is tested, the rest
# are drafts.

# start SCRIPT LOG CPUS MEM_MB MINUTES: have the script run with these limits; print its id.
start() {
    setsid timeout "$5m" bash "$1" >"$2" 2>&1 </dev/null &
    echo "$!"
}

# alive ID: whether the job waits or runs, as far as the system knows.
alive() {
    ps -o stat= -p "$1" | grep -q '^[^Z]' # not one that only waits to be taken note of
}

# cancel ID: end the job with all its processes.
cancel() {
    kill -KILL -- "-$1"
}

# Slurm
#   start()  { sbatch --parsable --output "$2" --cpus-per-task "$3" --mem "$4" --time "$5" "$1"; }
#   alive()  { squeue --noheader --jobs "$1" 2>/dev/null | grep -q .; }
#   cancel() { scancel "$1"; }
# PBS
#   start()  { qsub -j oe -o "$2" -l "select=1:ncpus=$3:mem=${4}mb,walltime=$5:00" "$1"; }
#            (walltime is hours:minutes:seconds or minutes:seconds)
#   alive()  { qstat "$1" >/dev/null 2>&1; }    # without -x: no finished jobs
#   cancel() { qdel "$1"; }
# LSF
#   start()  { bsub -o "$2" -n "$3" -M "${4}MB" -W "$5" <"$1" | sed 's/[^<]*<\([0-9]*\)>.*/\1/'; }
#   alive()  { bjobs -noheader -o stat "$1" 2>/dev/null | grep -Eqv 'DONE|EXIT'; }
#   cancel() { bkill "$1"; }
# SGE
#   start()  { qsub -terse -j y -o "$2" -pe smp "$3" -l "h_vmem=${4}M,h_rt=$(($5 * 60))" "$1"; }
#   alive()  { qstat -j "$1" >/dev/null 2>&1; }
#   cancel() { qdel "$1"; }
