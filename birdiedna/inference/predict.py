"""Classes of new sequences, predicted by a fine-tuned run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType

import numpy as np
import polars as pl
import scipy

from birdiedna import vocab
from birdiedna.data import stored
from birdiedna.experiments import models
from birdiedna.inference import sequences
from birdiedna.inference.sequences import Record
from birdiedna.training.finetune import Classifier, class_logits

#: What a manifest says of the rows of a fine-tuning.
_READ = {
    "data_notes": {"classes": [str], "lengths": {"train": [[int]]}},
    "reading": {"length": int},
    "crop?": ([int], NoneType),
}


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned classifier and how its rows were read.

    classes: class names. longest: bases of the longest train row. length: only the first `length`
    bases of each row were read, 0 for all. crop: first and stop position that were read, or ().
    """

    net: Classifier
    classes: tuple[str, ...]
    longest: int
    length: int
    crop: tuple[int, ...]


def load(run: Path | str) -> Tuned:
    """Load the classifier of a fine-tuned run or of its export; errors as in `models.classifier`.

    ValueError if its manifest does not say how rows were read.
    """
    net, manifest = models.classifier(run)
    if wrong := stored.misfit(manifest, _READ):
        file = models.find(run) / "manifest.json"
        raise stored.damaged(file if file.is_file() else file.parent, wrong)
    notes = manifest["data_notes"]
    return Tuned(
        net=net,
        classes=tuple(notes["classes"]),
        longest=max((span[1] for span in notes["lengths"]["train"] if span[1:]), default=0),
        length=manifest["reading"]["length"],
        crop=tuple(manifest.get("crop") or ()),
    )


def predict(
    run: Path | str,
    records: Iterable[Record],
    both_strands: bool = False,
    long: str = "refuse",
    rows: int = 64,
    notes: Counter[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the most likely class of every sequence and the probability of each class.

    Sequences are read, and cropped, as the run read its rows. Those longer than the train rows are
    refused, or their middle is read, which `notes` counts (`long` is "refuse" or "centre"). With
    `both_strands`, which may also be a setting of the run, logits are means over the sequence and
    its reverse complement, and a column `strand_difference` contains the largest difference of a
    probability between them.

    Returns:
      frames of name, bases, class, and `p_<class>` for every class, in input order.

    Raises:
      ValueError: as in `load`; unknown `long`, `rows` below 1; or a sequence is empty, longer than
        the train rows, or too short to contain the part that the run read.
    """
    if long not in ("centre", "refuse"):
        raise ValueError(f"long {long!r} is not one of centre, refuse")
    tuned = load(run)
    read, names = partial(class_logits, tuned.net), [f"p_{name}" for name in tuned.classes]
    for chunk in sequences.chunks(records, lambda record: len(record.tokens)):
        strands = [[_part(record, tuned, long, notes) for record in chunk]]
        if both_strands or tuned.net.config.both_strands:
            strands.append([vocab.reverse_complement(part) for part in strands[0]])
        each = [np.stack(sequences.computed(read, parts, rows)) for parts in strands]
        logits = np.stack(each).astype(np.float64)
        difference = np.ptp(scipy.special.softmax(logits, axis=2), axis=0).max(axis=1)
        probabilities = scipy.special.softmax(logits.mean(axis=0), axis=1)
        yield pl.DataFrame(
            {
                "name": [record.name for record in chunk],
                "bases": [len(record.tokens) for record in chunk],
                "class": [tuned.classes[i] for i in probabilities.argmax(axis=1)],
                **dict(zip(names, probabilities.T, strict=True)),
                **({"strand_difference": difference} if len(strands) > 1 else {}),
            }
        )


def _part(record: Record, tuned: Tuned, long: str, notes: Counter[str] | None) -> np.ndarray:
    """Return the part of the sequence that the run would have read of a row of its task."""
    record = record._replace(tokens=record.tokens[: tuned.length or None])
    ((_, _, whole),) = sequences.pieces(record, tuned.longest, long, notes)
    if not tuned.crop:
        return whole
    first, stop = tuned.crop
    if len(whole) < stop:
        raise ValueError(
            f"{record.place}: {len(whole):,} bases, but the run read bases {first:,} to "
            f"{stop - 1:,} of rows of {tuned.longest:,}; give sequences of {tuned.longest:,}"
        )
    return whole[first:stop]
