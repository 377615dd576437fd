"""Make `weights/NAME.safetensors` and its card from the bfloat16 weights of a borrowed machine.

    python scripts/make_weights.py eighth-birdie eighth.birdie.seed0.bf16.npz

The .npz is what came back from the machine (`read_arrays`); config, manifest and log are of the run
in `results/`. A file that the catalogue pins is reproduced byte for byte.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from birdiedna.data import catalog, stored, tensors
from birdiedna.data.files import digest
from birdiedna.evaluation import frames
from birdiedna.evaluation.paper_table import ARM_TITLES
from birdiedna.experiments import config_json, export, results
from birdiedna.model import transformer
from birdiedna.training import checkpoint, run_folder, weights

#: Appended to the card of the run.
NOTE = """
## The file

`birdiedna export {name} FOLDER` makes the folder that `transformers` opens; all verbs take the name
`{name}`. The weights are bfloat16, as they came back from the machine.

The genome was human chromosome X, bases 1 to 69,999,930; held-out loss is on windows of chromosomes
3, 4 and 5. An eighth of the paper's pre-training, one seed.

## Measured so far

Test MCC of a logistic regression on the mean of the last layer, which is not trained further; all
train rows, tasks rebuilt by the recipe of the Nucleotide Transformer benchmark, one seed:

{scores}

No verdict follows from one seed. On two of these tasks with 600 train rows, features of random
weights did as well, and better when read at `<start>`. Use these weights to try the tools and as a
start to compare with, not because they are known to help.
"""


def scores(name: str) -> str:
    """Test MCC by task and arm, of probes of seed 0, for tasks with all arms."""
    found = frames.probe_table(results.table(name, results.PROBES)).filter(
        metric="mcc", share=1.0, seed=0
    )
    named = found.with_columns(pl.col("arm").replace(ARM_TITLES))
    wide = named.pivot("arm", index="task", values="value").drop_nulls()
    plain = {"tbl_hide_dataframe_shape": True, "tbl_hide_column_data_types": True}
    with pl.Config(tbl_formatting="MARKDOWN", tbl_rows=-1, float_precision=3, **plain):
        return str(wide)


def write(file: Path, model: weights.Model) -> None:
    """Write a weights file without the checksum in its header: the catalogue's pin is one."""
    weights.write_file(file, model, "bfloat16")
    arrays, metadata = tensors.read(file)
    tensors.write(file, arrays, {name: metadata[name] for name in ("format", "config")})


def read_arrays(path: Path, like: Any) -> Any:
    """Weights in the structure of `like`, from bfloat16 bits as uint16, by key path."""
    upper = lambda x: (x.astype(np.uint32) << 16).view(np.float32)
    bits = stored.read_arrays(path)
    return checkpoint.fitted({name: upper(x) for name, x in bits.items()}, like, path)


def run_of(name: str) -> tuple[str, Path]:
    """The results and the folder of the run behind RESULTS-ARM, such as eighth-birdie."""
    stored, _, arm = name.rpartition("-")
    (run,) = (results.root() / stored).glob(f"pretrain-{arm}-seed0-*")
    return stored, run


def card(file: Path) -> str:
    """The card of a weights file."""
    stored, run = run_of(file.stem)
    own = export.card(weights.read(file), digest(file), run_folder.events(run))
    own = own.replace(f"# {run.name}\n", f"# {file.stem}\n", 1)
    return own + NOTE.format(name=file.stem, scores=scores(stored))


def main() -> None:
    """Write the file and its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="RESULTS-ARM, such as eighth-birdie")
    parser.add_argument("arrays", type=Path, help="the .npz")
    given = parser.parse_args()
    _, run = run_of(given.name)
    config, manifest = run_folder.read(run, "config"), run_folder.read(run, "manifest")
    like = transformer.shapes(config_json.read(run).model)
    file = run_folder.repository() / "weights" / f"{given.name}.safetensors"
    write(file, weights.Model(read_arrays(given.arrays, like), config, manifest))
    file.with_suffix(".md").write_text(card(file), "utf-8")
    pinned = {entry.name: entry.files[0].sha256 for entry in catalog.ENTRIES}.get(given.name)
    same = "as pinned" if pinned == digest(file) else "NOT the sum that catalog.toml pins"
    print(f"{file}: {file.stat().st_size:,} bytes, sha256 {digest(file)}, {same}")


if __name__ == "__main__":
    main()
