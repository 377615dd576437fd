#!/bin/sh
# Work on a plan on a machine of Colab, from the shell, by Google's command line for it
# (`uv tool install google-colab-cli`, Linux and macOS):
#
#   scripts/colab_plan.sh build/plan 60 --tpu v5e1      60 minutes; or --gpu T4, L4, A100, H100
#
# The same command makes the runs that are left; a begun pre-training is resumed. Then:
# birdiedna plan status build/plan
set -eu

plan="${1:?the folder of a plan, from birdiedna plan prepare}"
minutes="${2:?minutes that the machine may work}"
shift 2
plan="$(cd "$plan" && pwd)"

cd "$(dirname "$0")/.."
work="$(mktemp -d)"
session="birdiedna-$$"
trap 'colab stop -s "$session"; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

git archive --format=tar HEAD birdiedna pyproject.toml README.md LICENSE >"$work/code.tar"
tar -cf "$work/plan.tar" -C "$plan" .

# The kernel of the machine only starts programs: with jax it would occupy the device.
cat >"$work/work.py" <<EOF
import subprocess
import sys
import tarfile
from pathlib import Path

for name, folder in (("code.tar", "code"), ("plan.tar", "plan")):
    tarfile.open(name).extractall(folder)
words = "-m birdiedna remote work ../plan --out ../packed --budget-minutes $minutes"
subprocess.run([sys.executable, *words.split()], cwd="code")
Path("packed").mkdir(exist_ok=True)
with tarfile.open("packed.tar", "w") as packed:
    packed.add("packed")
EOF

colab new -s "$session" "$@"
colab upload -s "$session" "$work/code.tar" content/code.tar
colab upload -s "$session" "$work/plan.tar" content/plan.tar
colab exec -s "$session" -f "$work/work.py" --timeout "$((minutes * 60 + 600))"
colab download -s "$session" content/packed.tar "$work/packed.tar"
tar -xf "$work/packed.tar" -C "$work"
"${PYTHON:-.venv/bin/python}" -m birdiedna remote unpack "$plan" "$work/packed"
