#!/usr/bin/env bash
# The tests of this directory, with Slurm installed from the system's packages if it is missing. Where that cannot be
# (not root, no apt-get) it says why and succeeds; everything else that goes wrong is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
# Daemons lie in /usr/sbin, which need not be on PATH.
for program in munged slurmctld slurmd sbatch srun; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" > /dev/null || missing+=("$program")
done

if [ "$(id -u)" -ne 0 ]; then
    echo "test-slurm: not run: starting slurmd needs root"
    exit 0
fi
if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get > /dev/null; then
        echo "test-slurm: not run: ${missing[*]} not installed, and there is no apt-get here to install them"
        exit 0
    fi
    echo "test-slurm: installing Slurm (missing: ${missing[*]})"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi

exec "${PYTHON:-python3}" -m pytest tests/slurm "$@"
