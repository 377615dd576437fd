"""Probes: logistic regressions on a model's frozen features.

Features are computed once for all rows of a task. Regressions are fitted to all training rows and
to several subsets of smaller shares, so that scores by number of labels cost little.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.data.labelled import Labelled
from birdiedna.model import transformer
from birdiedna.model.fields import check_ranges, check_types
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.training import devices, log, run_folder, stop
from birdiedna.training.prompt import (
    Data,
    checked,
    computed,
    in_batches,
    in_parts,
    mean_feature,
    prompt,
)

POOLINGS = ("mean", "start")


@dataclass(frozen=True)
class ProbeConfig:
    """Which features are read, and which regressions are fitted.

    pooling: "mean" over the bases of a sequence, or "start", the feature at the `<start>` after it.
    layer: Python index into the embeddings, block 1, ..., the last block; -1 is the input of the
    model's head. bidirectional: whether bases see later bases. shares: of the train rows, rising to
    1. subsets: number for each smaller share. costs: inverse penalties C to choose from. rows:
    computed at once.
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
        check_types(self)
        check_ranges(self, classes=(2, vocab.CLASSES), subsets=(1, 1_000), rows=(1, 2**20))
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling {self.pooling!r} is not one of {', '.join(POOLINGS)}")
        blocks = self.model.blocks
        if not -blocks - 1 <= self.layer <= blocks:
            raise ValueError(
                f"layer {self.layer} is not in {-blocks - 1}..{blocks}, the embeddings and "
                f"{blocks} blocks"
            )
        if self.shares[-1:] != (1,) or any(np.diff((0, *self.shares)) <= 0):
            raise ValueError(f"shares {self.shares} must rise from above 0 to 1")
        if not self.costs or min(self.costs) <= 0:
            raise ValueError(f"costs {self.costs} must be numbers above 0")

    @property
    def steps(self) -> int:
        """Number of subsets of the train rows."""
        return self.subsets * (len(self.shares) - 1) + 1


def train(
    config: ProbeConfig,
    net: Transformer,
    splits: tuple[Labelled, Labelled, Labelled],
    folder: Path,
    ask: stop.Ask = stop.never,
) -> Iterator[Mapping[str, Any]]:
    """Fit the regressions; write log and predictions into `folder`, an existing run folder.

    Each penalty is chosen by the loss on validation. Subsets take the place of steps: log and
    predictions have one evaluation for each, in the format of a fine-tuning. A stopped probe starts
    again.

    Args:
      net: a pre-trained or fresh model, computed as `config.model` says.
      splits: train, validation and test rows.
      ask: called before every subset, and while features are computed: whether to stop.

    Yields:
      every logged event.

    Raises:
      ValueError: `net` has other sizes than `config.model`, a split is empty or has a label outside
        the classes, a class has no train row, or scikit-learn is missing.
      stop.Stopped: `ask` said so.
    """
    if find_spec("sklearn") is None:  # as on a machine that has only the other core packages
        raise ValueError("a probe needs scikit-learn: pip install scikit-learn")
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    def pause() -> None:
        if stopped := devices.agree_to_stop(ask()):
            raise stopped

    run_folder.rewind(folder, 0)
    rows = [checked(split, config.classes) for split in splits]
    known, wanted, hidden = (np.asarray(part.labels) for part in rows)
    subsets = draw(known, config)
    net = transformer.recast(net, config.model)
    train, validation, test = (features(config, net, part, pause) for part in rows)
    found: list[dict[str, Any]] = []
    for number, subset in enumerate(subsets, start=1):
        pause()
        with threadpool_limits(1):  # threads wait for each other longer than they compute
            fits = _logits(config.costs, train[subset.rows], known[subset.rows], validation, test)
        scores = [log.loss_and_accuracy(logits, wanted) for logits, _ in fits]
        best = int(np.argmin([score["loss"] for score in scores]))
        logits, answers = fits[best]
        event = {
            "event": "evaluation",
            "step": number,
            "split": "validation",
            "share": subset.share,
            "subset": subset.number,
            "n_train": len(subset.rows),
            "cost": config.costs[best],
            **scores[best],
        }
        yield run_folder.append(folder, event)
        found.append({"steps": number, "validation_logits": logits, "test_logits": answers})
    columns: dict[str, Any] = {name: np.stack([one[name] for one in found]) for name in found[0]}
    columns |= {"validation_labels": wanted, "test_labels": hidden}
    np.savez_compressed(folder / "predictions.npz", **columns)


class Subset(NamedTuple):
    """A subset of the train rows: sorted indices, their share, and the subset's number."""

    rows: np.ndarray
    share: float
    number: int


def draw(labels: np.ndarray, config: ProbeConfig) -> list[Subset]:
    """Subsets (`labelled.subset`) of labels (n,) by share; ValueError for a class without rows."""
    counts = np.bincount(labels, minlength=config.classes)
    if not counts.all():
        raise ValueError(f"class {int(np.argmin(counts))} has no train row; a probe needs some")
    return [
        Subset(labelled.subset(labels, share, number), share, number)
        for share in config.shares
        for number in range(config.subsets if share < 1 else 1)
    ]


def features(
    config: ProbeConfig, net: Transformer, data: Data, pause: Callable[[], object] = stop.never
) -> np.ndarray:
    """Pooled features, float32 (n, width), of padded rows; `pause` as in `computed`."""
    how = {"pooling": config.pooling, "layer": config.layer, "bidirectional": config.bidirectional}
    read = lambda rows: pooled(net, rows.tokens, rows.lengths, **how)
    found = computed(read, in_batches(data, config.rows), pause)
    return np.concatenate(found)[: len(data.labels)]


@partial(jax.jit, static_argnames=("pooling", "layer", "bidirectional"))
def pooled(
    net: Transformer,
    tokens: jax.Array,
    lengths: jax.Array,
    pooling: str,
    layer: int,
    bidirectional: bool,
) -> jax.Array:
    """One feature vector per sequence, float32 (B, width), for tokens (B, L) of `lengths` (B,).

    Other arguments as in `ProbeConfig`.
    """

    def read(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        row, seen = prompt(tokens, lengths), lengths if bidirectional else None
        if pooling == "mean":
            return mean_feature(net.features(row, seen, layer), lengths)
        return net.features(row, seen, layer, slot=lengths)[:, 0].astype(jnp.float32)

    return in_parts(read, tokens, lengths)


def _logits(
    costs: Sequence[float], x: np.ndarray, labels: np.ndarray, *others: np.ndarray
) -> list[list[np.ndarray]]:
    """Per cost, class logits, float32 (n, C), of other features by regressions on scaled `x`.

    The penalty of a regression is 1 / cost.
    """
    from sklearn.linear_model import LogisticRegression  # only now: their import takes a second
    from sklearn.preprocessing import StandardScaler

    x = x.astype(np.float64)  # in float32 some searches fail
    scaler = StandardScaler().fit(x)
    scaled, asked = scaler.transform(x), [scaler.transform(other) for other in others]
    fits = []
    for cost in costs:
        model = LogisticRegression(C=cost, max_iter=2000).fit(scaled, labels)
        found = [model.decision_function(other).astype(np.float32) for other in asked]
        fits.append([np.stack([-y, y], axis=1) / 2 if y.ndim == 1 else y for y in found])
    return fits
