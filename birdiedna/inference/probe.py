"""Scores of a model's frozen features on a task, compared with random weights."""

import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl

from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import frames
from birdiedna.model import transformer
from birdiedna.training import probe as probes
from birdiedna.training import run_folder
from birdiedna.training.probe import ProbeConfig
from birdiedna.training.weights import Model


def probe(
    model: Model,
    task: str,
    splits: tuple[Labelled, Labelled, Labelled],
    config: ProbeConfig,
    seed: int = 0,
) -> pl.DataFrame:
    """Return test scores of a probe of a model and of the same model with random weights.

    The table is that of `frames.results`; `arm` is the model's or "random". `splits` are train,
    validation and test rows. The model's sizes and mask replace those of the config; random
    weights, drawn from the seed, attend in both directions. Errors as in `probe.train`.
    """
    sizes, arm_name = model.net.config, str(model.manifest.get("arm", model.name))
    arms = {
        arm_name: (model.net, model.bidirectional),
        "random": (transformer.init(sizes, seed), True),
    }
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(number) for number in range(len(arms))]
        for folder, (arm, (net, both_ways)) in zip(folders, arms.items(), strict=True):
            folder.mkdir()
            read = replace(config, model=sizes, bidirectional=both_ways)
            for _ in probes.train(read, net, splits, folder):
                pass
            facts = {"name": arm, "kind": "probe", "arm": arm, "task": task, "seed": seed}
            run_folder.write_manifest(folder, facts)
        return frames.results(folders)
