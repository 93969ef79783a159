# The batch system, in three functions. This one is no more than processes in the background of
# this machine, without a queue or a limit of memory. Below are others: Slurm's is tested, the rest
# are drafts.

# start SCRIPT LOG CPUS MEM_MB MINUTES: have the script run with these limits; print its id.
start() {
    setsid timeout "$5m" bash "$1" >"$2" 2>&1 </dev/null &
    echo "$!"
}

# alive ID: whether the job waits or runs. Where the system does not answer, say yes: a job that is
# taken for a failed one is started again, beside itself.
alive() {
    ps -o stat= -p "$1" | grep -q '^[^Z]' # not one that only waits to be taken note of
}

# cancel ID: end the job with all its processes.
cancel() {
    kill -KILL -- "-$1"
}

# Slurm
#   start()  { sbatch --parsable --output "$2" --cpus-per-task "$3" --mem "$4" --time "$5" "$1"; }
#   alive()  { local queue; queue=$(squeue --me -h -o %A) || return 0; grep -qx "$1" <<<"$queue"; }
#   cancel() { scancel "$1"; }
# PBS
#   start()  { qsub -j oe -o "$2" -l "select=1:ncpus=$3:mem=${4}mb,walltime=$5:00" "$1"; }
#            (walltime is hours:minutes:seconds or minutes:seconds)
#   alive()  { ! grep -q 'Unknown Job\|has finished' <<<"$(qstat "$1" 2>&1)"; }
#   cancel() { qdel "$1"; }
# LSF
#   start()  { bsub -o "$2" -n "$3" -M "${4}MB" -W "$5" <"$1" | sed 's/[^<]*<\([0-9]*\)>.*/\1/'; }
#   alive()  { ! grep -q 'DONE\|EXIT\|not found' <<<"$(bjobs -noheader -o stat "$1" 2>&1)"; }
#   cancel() { bkill "$1"; }
# SGE
#   start()  { qsub -terse -j y -o "$2" -pe smp "$3" -l "h_vmem=${4}M,h_rt=$(($5 * 60))" "$1"; }
#   alive()  { ! grep -q 'do not exist' <<<"$(qstat -j "$1" 2>&1)"; }
#   cancel() { qdel "$1"; }
