"""`birdiedna predict`, `embed`, `variants` and `explain`: a trained model on your own sequences."""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from tqdm import tqdm

from birdiedna import vocab
from birdiedna.cli.parser import options
from birdiedna.data import cache, fasta, files
from birdiedna.data.names import meant, quantity
from birdiedna.experiments import models
from birdiedna.inference import embed as embedding
from birdiedna.inference import predict as predicting
from birdiedna.inference import sequences, tables
from birdiedna.inference import variants as scoring
from birdiedna.objectives import explain as explaining
from birdiedna.objectives.definitions import EVERY
from birdiedna.tasks.tables import Columns
from birdiedna.training import devices

#: Longest sequence that `explain` shows, in bases.
_MOST_SHOWN = 4096
#: Least seconds between two lines about what is done.
_PAUSE_S = 10.0


def predict(given: argparse.Namespace) -> int:
    """`birdiedna predict`."""
    _begin(given)
    notes = Counter[str]()
    how = options(given, "both_strands", "long", "rows")
    frames = predicting.predict(given.run, _records(given, notes), notes=notes, **how)
    return _write(frames, given.out, "sequences", notes)


def embed(given: argparse.Namespace) -> int:
    """`birdiedna embed`."""
    _begin(given)
    model = models.load(given.model)
    notes = Counter[str]()
    how = options(given, "per_base", "pooling", "layer", "both_strands", "long", "rows")
    frames = embedding.embed(model, _records(given, notes), notes=notes, **how)
    return _write(frames, given.out, "bases" if given.per_base else "sequences", notes)


def variants(given: argparse.Namespace) -> int:
    """`birdiedna variants`; prints how many alleles were not scored."""
    _begin(given)
    model = models.load(given.model)
    genome = fasta.read(cache.located(given.genome, "genome")) if given.genome else None
    counts: Counter[str] = Counter()

    def counted() -> Iterator[pl.DataFrame]:
        for frame in scoring.variants(model, genome, given.file, given.rows):
            counts.update(note.split(" ")[0] for note in frame["note"])
            yield frame

    _write(counted(), given.out, "alleles", Counter())
    if missing := counts.total() - counts[""]:
        print(f"not scored: {missing:,}, of which {counts['REF']:,} because REF disagrees with "
              f"{given.genome or 'ref_seq'}; see the column `note`")  # fmt: skip
    return 0


def explain(given: argparse.Namespace) -> int:
    """`birdiedna explain`."""
    if given.objective and given.objective not in EVERY:
        hint = f"{meant(given.objective, EVERY)}choose one of {', '.join(EVERY)}"
        raise ValueError(f"unknown objective {given.objective!r}; {hint}")
    window = _one_sequence(given.sequence)
    if len(window) > _MOST_SHOWN:
        raise ValueError(f"{len(window):,} bases are too many to show; give up to {_MOST_SHOWN:,}")
    for name in [given.objective] if given.objective else EVERY:
        size = quantity(len(window), "bases")
        try:
            program = EVERY[name](jax.random.key(given.seed), jnp.asarray(window))
        except ValueError:
            short = f"{name} does not fit in {size}"
            if given.objective:
                raise ValueError(f"{short}; give a longer sequence") from None
            print(f"{short}\n")
            continue
        row = explaining.report(explaining.explain(program, window))
        print(f"{name}, {size}\n{row}\n")
    return 0


def _one_sequence(text: str) -> np.ndarray:
    """Return the base ids of letters, or of the only sequence in a file."""
    try:
        return vocab.encode(text)
    except ValueError as error:
        if not os.path.exists(text):  # unlike `Path.exists`, accepts names that are too long
            raise ValueError(f"{text[:40]!r} is neither a file nor a sequence: {error}") from None
        found = list(islice(sequences.read(text), 2))
        if len(found) > 1:
            raise ValueError(f"{text} contains several sequences; give a file of one") from None
        return found[0].tokens


def _begin(given: argparse.Namespace) -> None:
    """Refuse impossible options before anything is read."""
    devices.require(given.device or "any")
    tables.check(given.out)
    if given.out.exists() and given.file.exists() and given.out.samefile(given.file):
        raise ValueError(f"{given.out} is the input file; give another name for the output")
    devices.enable_compilation_cache(files.default_cache())


def _records(given: argparse.Namespace, notes: Counter[str]) -> Iterator[sequences.Record]:
    columns = Columns(given.sequence_column, name=given.name_column)
    return sequences.read(given.file, given.genome, columns, notes)


def _write(frames: Iterable[pl.DataFrame], out: Path, what: str, notes: Counter[str]) -> int:
    """Write frames; print the number of rows, of `what`, and changes.

    On a terminal a progress bar is shown, else lines.
    """
    with tqdm(unit=f" {what}", disable=None) as bar:

        def counted() -> Iterator[pl.DataFrame]:
            done, shown = 0, time.monotonic()
            for frame in frames:
                yield frame
                bar.update(frame.height)
                done += frame.height
                if bar.disable and (now := time.monotonic()) - shown >= _PAUSE_S:
                    print(f"{quantity(done, what)} so far", flush=True)
                    shown = now

        rows = tables.write(counted(), out)
    print("\n  ".join([f"{quantity(rows, what)}: {out}", *fasta.changes(notes)]))
    return 0
