#!/bin/sh
# One shard of a plan per task of a Slurm array. The plan is in a folder that all nodes share:
#
#   birdiedna plan prepare --out build/plan ...
#   sbatch --array=1-4 scripts/slurm_array.sh build/plan 4
#   birdiedna plan collect build/plan --name my-results
#
# Before its time is up, a task saves its run and is queued again. `PYTHON` is the interpreter;
# further options go to `birdiedna plan work`.
#SBATCH --job-name=birdiedna
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=birdiedna-%A_%a.log
plan=${1:?give the folder of a plan}
shards=${2:?give the number of shards, that of --array}
shift 2

worker='' stopped=''
trap 'if [ "$worker" ]; then kill -TERM "$worker"; else stopped=1; fi' TERM
"${PYTHON:-python3}" -m birdiedna plan work "$plan" \
    --shard "${SLURM_ARRAY_TASK_ID:?start this with sbatch --array=1-N}/$shards" "$@" &
worker=$!
[ "$stopped" ] && kill -TERM "$worker"  # the signal came before the trap knew the worker
wait "$worker"
status=$?
trap - TERM
if kill -0 "$worker" 2>/dev/null; then  # the signal ended the first wait: the run is being saved
    wait "$worker"
    status=$?
fi
case $status in
    75 | 143) scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" ;;
esac
exit "$status"
