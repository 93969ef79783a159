#!/usr/bin/env bash
# cancel.sh ID...: end these jobs; those that have ended by themselves are no error.
set -u
. "$(dirname "$0")/system.sh"
for id in "$@"; do
    cancel "$(cat ".snakemake/cluster-generic/$id/system_id")" 2>/dev/null
done
exit 0
