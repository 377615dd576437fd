"""Make `weights/NAME.safetensors` and its card from weights that a borrowed machine brought back.

    python scripts/make_weights.py eighth-birdie eighth.birdie.seed0.bf16.npz

The .npz holds key paths -> upper 16 bits of float32, as `plan work --weights` takes them; config,
manifest and log are those of the run in `results/`. Nothing is rounded again: the weights are
bfloat16 already. A file that the catalogue pins comes out with the pinned bytes.
"""

import argparse
from pathlib import Path

import jax

from birdiedna.data import catalog, tensors
from birdiedna.data.files import digest
from birdiedna.experiments import config_json, export, plan, results
from birdiedna.model import transformer
from birdiedna.training import run_folder, weights

#: Of 26 November 2026, with these weights; no verdict, and the cards say so.
SCORES = """
## The file

`birdiedna export {name} FOLDER` makes the folder that `transformers` opens; all verbs take the name
`{name}`. The weights are bfloat16, as they came back from the machine.

The genome was human chromosome X, bases 1 to 69,999,930; held-out loss is on windows of chromosomes
3, 4 and 5. An eighth of the paper's pre-training, one seed.

## Measured so far

Logistic regression (standardised, C = 0.01) on features that are not trained further, 600 train and
600 test rows of tasks rebuilt by the recipe of the Nucleotide Transformer benchmark, float32 on a
CPU, one seed, so about 3 points of chance either way:

| frozen features, test accuracy / MCC | Birdie | NTP | random weights |
| :--- | :--- | :--- | :--- |
| promoter_no_tata, mean over the sequence | .853 / .710 | .842 / .692 | .840 / .683 |
| promoter_no_tata, at `<start>` | .823 / .650 | .792 / .593 | .840 / .683 |
| splice donors, mean | .680 / .357 | .688 / .386 | .690 / .377 |
| splice donors, at `<start>` | .647 / .287 | .628 / .249 | .712 / .420 |

**Features of random weights, never trained, do as well on every task measured so far.** Use these
weights to try the tools and as a start to compare with, not because they are known to help.
"""


def write(file: Path, model: weights.Model) -> None:
    """Write a weights file without the checksum in its header: the catalogue's pin is one."""
    weights.write_file(file, model, "bfloat16")
    arrays, metadata = tensors.read(file)
    tensors.write(file, arrays, {name: metadata[name] for name in ("format", "config")})


def main() -> None:
    """Write the file and its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="RESULTS-ARM, such as eighth-birdie")
    parser.add_argument("arrays", type=Path, help="the .npz")
    given = parser.parse_args()
    stored, _, arm = given.name.rpartition("-")
    (run,) = (results.root() / stored).glob(f"pretrain-{arm}-*")
    config = config_json.read(run)
    like = jax.eval_shape(lambda: transformer.init(config.model, 0))
    manifest = run_folder.read(run, "manifest")
    net = plan.read_weights(given.arrays, like)
    model = weights.Model(net, run_folder.read(run, "config"), manifest)
    place = run_folder.repository() / "weights"
    place.mkdir(exist_ok=True)
    file = place / f"{given.name}.safetensors"
    write(file, model)
    card = export.card(model, digest(file), run_folder.events(run))
    (place / f"{given.name}.md").write_text(card + SCORES.format(name=given.name), "utf-8")
    pinned = {entry.name: entry.files[0].sha256 for entry in catalog.ENTRIES}.get(given.name)
    same = "as pinned" if pinned == digest(file) else "NOT the sum that catalog.toml pins"
    print(f"{file}: {file.stat().st_size:,} bytes, sha256 {digest(file)}, {same}")


if __name__ == "__main__":
    main()
