#!/usr/bin/env bash
# submit.sh CPUS MEM_MB MINUTES SCRIPT: start Snakemake's job script and print an id.
#
# The id is a folder in .snakemake/cluster-generic of the working directory: `log` is what the job
# printed, `system_id` the batch system's id, `exit` the exit status, once there is one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/system.sh"

jobs=$PWD/.snakemake/cluster-generic
mkdir -p "$jobs"
ln -sfn "$here" "$jobs/profile" # for status.sh and cancel.sh
job=$(mktemp -d "$jobs/XXXXXXXX")
cat >"$job/script" <<SCRIPT
#!/usr/bin/env bash
cd ${job@Q}
bash ${4@Q}
echo \$? >exit.new && mv exit.new exit # whole, or not there
SCRIPT
start "$job/script" "$job/log" "$1" "$2" "$3" >"$job/system_id"
basename "$job"
