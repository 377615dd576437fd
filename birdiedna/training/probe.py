"""Frozen-feature probes: what a model computes, read by a logistic regression; nothing is trained.

Features are computed once for all rows of a task. Regressions are then fitted to all training rows,
and to several subsets of smaller shares of them, so that scores by number of labels come for free.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.data.labelled import Labelled
from birdiedna.model import transformer
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.training import devices, logistic, run_folder, stop
from birdiedna.training.prompt import Data, checked, in_batches, mean_feature, prompt, start_feature

POOLINGS = ("mean", "start")


@dataclass(frozen=True)
class ProbeConfig:
    """Which features are read, and what is fitted to them.

    pooling: "mean" over the bases of a sequence, or the feature at the `<start>` behind it. layer:
    a Python index of the embeddings, block 1, ..., the last block; -1 is what the model's head
    reads. bidirectional: whether bases see later bases. shares: of the train rows, rising to 1.
    subsets: how many of each smaller share. costs: the inverse penalties C to choose from.
    rows: computed at once.
    """

    classes: int
    model: ModelConfig = ModelConfig()
    pooling: str = "mean"
    layer: int = -1
    bidirectional: bool = True
    shares: tuple[float, ...] = (0.01, 0.05, 0.25, 1.0)
    subsets: int = 5
    costs: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    rows: int = 64

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= vocab.CLASSES:
            raise ValueError(f"classes {self.classes} must be 2 to {vocab.CLASSES}")
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling!r} is not one of {', '.join(POOLINGS)}")
        if not -self.model.blocks - 1 <= self.layer <= self.model.blocks:
            raise ValueError(
                f"layer {self.layer} is not in {-self.model.blocks - 1}..{self.model.blocks}, the "
                f"embeddings and {self.model.blocks} blocks"
            )
        if min(self.subsets, self.rows) < 1:
            raise ValueError("subsets and rows must be at least 1")
        for name, most in (("subsets", 1_000), ("rows", 2**20)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} {getattr(self, name):,} are more than {most:,}")
        rising = all(a < b for a, b in zip((0.0, *self.shares), self.shares, strict=False))
        if not self.shares or not rising or self.shares[-1] != 1:
            raise ValueError(f"shares {self.shares} must rise from above 0 to 1")
        if not self.costs or min(self.costs) <= 0:
            raise ValueError(f"costs {self.costs} must be numbers above 0")

    @property
    def steps(self) -> int:
        """How many subsets of the train rows are fitted."""
        return self.subsets * (len(self.shares) - 1) + 1


def train(
    config: ProbeConfig,
    net: Transformer,
    splits: tuple[Labelled, Labelled, Labelled],
    folder: Path,
    ask: stop.Ask = stop.never,
) -> Iterator[Mapping[str, Any]]:
    """Fit the regressions of a probe, writing log and predictions into `folder`; yields the events.

    The penalty of each is the one with the lowest loss on validation. The subsets are the steps:
    log and predictions have an evaluation of each, as those of a fine-tuning; the log says its
    share, number, train rows and cost. A probe that is stopped begins again.

    Args:
      net: a pre-trained or fresh model, computed as `config.model` says.
      splits: train, validation and test rows.
      folder: an existing run folder.
      ask: asked before every subset whether to stop.

    Raises:
      ValueError: `net` is of other sizes than `config.model`, a split is empty or has a label
        outside the classes, or a class has no train row.
      stop.Stopped: `ask` said so.
    """
    run_folder.rewind(folder, 0)
    rows = [checked(split, config.classes) for split in splits]
    known, wanted, hidden = (np.asarray(part.labels) for part in rows)
    subsets = draw(known, config)
    net = transformer.recast(net, config.model)
    train, validation, test = (features(config, net, part) for part in rows)
    found = []
    for number, subset in enumerate(subsets, start=1):
        if stopped := devices.agree_to_stop(ask()):
            raise stopped
        labels = known[subset.rows]
        kernels, biases = logistic.fit(train[subset.rows], labels, config.costs, config.classes)
        fitted = validation @ kernels + biases[:, None]
        losses = [_loss(logits, wanted) for logits in fitted]
        best = int(np.argmin(losses))
        logits = fitted[best].astype(np.float32)
        facts = {
            "share": subset.share,
            "subset": subset.number,
            "n_train": len(subset.rows),
            "cost": config.costs[best],
        }
        right = float((logits.argmax(axis=1) == wanted).mean())
        scores = {"loss": losses[best], "accuracy": right}
        event = {"event": "evaluation", "step": number, "split": "validation", **facts, **scores}
        yield run_folder.append(folder, event)
        answers = (test @ kernels[best] + biases[best]).astype(np.float32)
        found.append({"steps": number, "validation_logits": logits, "test_logits": answers})
    columns: dict[str, Any] = {name: np.stack([fit[name] for fit in found]) for name in found[0]}
    columns |= {"validation_labels": wanted, "test_labels": hidden}
    np.savez_compressed(folder / "predictions.npz", **columns)


class Subset(NamedTuple):
    """Some of the train rows: indices in order, their share, and the number of the subset."""

    rows: np.ndarray
    share: float
    number: int


def draw(labels: np.ndarray, config: ProbeConfig) -> list[Subset]:
    """The subsets of the rows with labels (n,), by share, as `labelled.subset`.

    Raises:
      ValueError: a class has no row.
    """
    counts = np.bincount(labels, minlength=config.classes)
    if not counts.all():
        raise ValueError(f"class {int(np.argmin(counts))} has no train row; a probe needs some")
    return [
        Subset(labelled.subset(labels, share, number), share, number)
        for share in config.shares
        for number in range(config.subsets if share < 1 else 1)
    ]


def features(config: ProbeConfig, net: Transformer, data: Data) -> np.ndarray:
    """Pooled features, float32 (n, width), of padded rows."""
    batches = in_batches(data, config.rows)
    how = (config.pooling, config.layer, config.bidirectional)
    found = [pooled(net, rows.tokens, rows.lengths, *how) for rows in batches]
    return np.concatenate([np.asarray(part) for part in found])[: len(data.labels)]


@partial(jax.jit, static_argnames=("pooling", "layer", "bidirectional"))
def pooled(
    net: Transformer,
    tokens: jax.Array,
    lengths: jax.Array,
    pooling: str,
    layer: int,
    bidirectional: bool,
) -> jax.Array:
    """One feature vector, float32 (B, width), for each of the sequences (B, L) of `lengths`.

    Other arguments as in `ProbeConfig`.
    """
    row = prompt(tokens, lengths)
    found = net.features(row, lengths if bidirectional else None, layer)
    read = mean_feature if pooling == "mean" else start_feature
    return read(found, lengths).astype(jnp.float32)


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean nats of logits (n, C)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return float(nats.mean())
