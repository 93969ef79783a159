#!/usr/bin/env bash
# status.sh ID: running, success or failed. A job that is gone without an exit status (killed, out
# of time, on a node that crashed) has failed; one that the system cannot be asked about runs on.
set -euo pipefail
. "$(dirname "$0")/system.sh"
job=.snakemake/cluster-generic/$1

if [[ ! -e $job/exit && -e $job/system_id ]] && alive "$(cat "$job/system_id")"; then
    echo running
    exit
fi
# A node's last file may take a moment to be seen here.
for _ in 1 2 3; do
    [[ -e $job/exit ]] && break
    sleep 1
done
if [[ $(cat "$job/exit" 2>/dev/null) == 0 ]]; then
    echo success
else
    echo failed
fi
