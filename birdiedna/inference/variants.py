"""Zero-shot effects of variants: how much less likely a model finds the other allele.

A causal model scores the whole window with either allele. A model of the mixture scores either
allele as the span that is missing from the window: as infilling it was trained to write it. A model
of masked tokens sees either allele all masked, and as many masks tell it the allele's length.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import intervals
from birdiedna.data import variants as files
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.labelled import padded
from birdiedna.data.names import listed
from birdiedna.data.variants import Variant
from birdiedna.inference.sequences import chunks
from birdiedna.model.transformer import Transformer
from birdiedna.objectives.program import Batch
from birdiedna.training import pretrain
from birdiedna.training.weights import Model

#: Bases of the longest allele that is scored.
LONGEST_ALLELE = 50
#: Bases beside the window that infilling needs: objective, sentinel (twice), `<start>`, `<eos>`.
_BESIDE = 5
#: The first columns of a table of scores, as the first fields of a variant.
_ALLELE = {"contig": pl.String, "position": pl.Int64, "id": pl.String}
_ALLELE |= {"ref": pl.String, "alt": pl.String}
#: A file with more alleles than this of which most disagree with the genome is of another assembly.
_FEW = 10


class Edit(NamedTuple):
    """Two alleles between the same flanks, base ids uint8 (n,) each, all on the + strand."""

    left: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    right: np.ndarray


def variants(
    model: Model, genome: Genome | None, path: Path | str, rows: int = 64
) -> Iterator[pl.DataFrame]:
    """Scores of every alternative allele of a file, as `data.variants.read` reads it.

    The model is from `experiments.models.load`, the genome of the file's assembly; None takes the
    sequence around each from the file. Of `rows` computed at once an allele has four.

    Returns:
      frames of contig, position, id, ref, alt, llr (log-likelihood of the alternative allele minus
      that of the reference, in nats, mean of both strands), llr_forward, llr_reverse and note: why
      an allele was not scored, or "". A negative llr: the model finds the variant less likely.

    Raises:
      ValueError: as `data.variants.read`; or the file is of another assembly than the genome.
    """
    path = Path(path)
    check(path, genome)
    for held in chunks(files.read(path, windows=genome is None)):
        yield scored(model, genome, held, rows)


def check(path: Path, genome: Genome | None) -> None:
    """Refuse a file of another assembly, by the header of VCF and by its reference alleles.

    Raises:
      ValueError: it has no variant, a contig has another length, or most alleles disagree.
    """
    if genome:
        files.check_assembly(path, genome)
    counts, first = Counter[str](), dict[str, str]()
    for held in chunks(files.read(path, windows=genome is None)):
        for note, _, _ in _placed(held, genome):
            word = note.split(" ")[0]
            kind = {"REF": "wrong", "outside": "wrong", "no": "missing"}.get(word, "fit")
            counts[kind] += 1
            first.setdefault(kind, note)
    if not (alleles := counts.total()):
        raise ValueError(f"{path}: no variant in it")
    if genome and counts["missing"] == alleles:
        has = listed([contig.name for contig in genome.contigs])
        raise ValueError(
            f"{path}: {first['missing']}, which has {has}; give the genome of the variants"
        )
    if alleles > _FEW and 2 * counts["wrong"] > alleles:
        source = genome.source if genome else "their sequences"
        raise ValueError(
            f"{path}: {counts['wrong']:,} of {alleles:,} alleles are not in {source} "
            f"(first: {first['wrong']}); give the genome of the variants' assembly"
        )


#: Why an allele cannot be scored, or ""; the sequence that it is in, and its index there.
_Place = tuple[str, np.ndarray, int]


def _placed(held: Sequence[Variant], genome: Genome | None) -> list[_Place]:
    """Where some alleles are."""
    contigs = intervals.located(genome, [variant.contig for variant in held]) if genome else {}
    return [_place(variant, genome, contigs.get(variant.contig)) for variant in held]


def _place(variant: Variant, genome: Genome | None, contig: Contig | None) -> _Place:
    tokens, first, source = variant.window, variant.at, "ref_seq"
    if genome:
        source = genome.source
        if not contig:
            return f"no contig {variant.contig!r} in {source}", np.zeros(0, np.uint8), 0
        tokens = genome.tokens[contig.start : contig.start + contig.length]
        first = variant.position - 1
    assert tokens is not None  # without a genome the file has them
    stop = first + len(variant.ref)
    note = ""
    if not variant.alt or not set(variant.alt) <= set("ACGT"):
        note = f"ALT {variant.alt[:20] or 'is empty, and'} is no sequence of A, C, G, T"
    elif max(len(variant.ref), len(variant.alt)) > LONGEST_ALLELE:
        note = f"more than {LONGEST_ALLELE} bases"
    elif stop > len(tokens):
        note = f"outside the {len(tokens):,} bases of {variant.contig}"
    elif (found := vocab.decode(tokens[first:stop])) != variant.ref:
        note = f"REF is {found} in {source}"
    elif "N" in variant.ref:
        note = "REF has N"
    return note, tokens, first


def scored(
    model: Model, genome: Genome | None, held: Sequence[Variant], rows: int = 64, slots: int = 0
) -> pl.DataFrame:
    """Scores of some alleles; result as in `variants`, `slots` as in `likelihood_ratios`."""
    placed = _placed(held, genome)
    notes = [note for note, _, _ in placed]
    edits = [
        _edit(variant, tokens, first, model.slots // 2)
        for variant, (note, tokens, first) in zip(held, placed, strict=True)
        if not note
    ]
    found = np.full((len(held), 2), np.nan)
    found[[not note for note in notes]] = likelihood_ratios(model, edits, rows, slots)
    alleles = pl.DataFrame([variant[:5] for variant in held], _ALLELE, orient="row")
    scores = {"llr": found.mean(axis=1), "llr_forward": found[:, 0], "llr_reverse": found[:, 1]}
    return alleles.with_columns(pl.DataFrame(scores).fill_nan(None), note=pl.Series(notes))


def _edit(variant: Variant, tokens: np.ndarray, first: int, flank: int) -> Edit:
    """The alleles with up to so many bases of flank on either side."""
    stop = first + len(variant.ref)
    left, right = tokens[max(0, first - flank) : first], tokens[stop : stop + flank]
    return Edit(left, vocab.encode(variant.ref), vocab.encode(variant.alt), right)


def edit(window: np.ndarray, place: int, alt: int) -> Edit:
    """The change of one base of a window, base ids uint8 (W,)."""
    one = np.array([alt], np.uint8)
    return Edit(window[:place], window[place : place + 1], one, window[place + 1 :])


def likelihood_ratios(
    model: Model, edits: Sequence[Edit], rows: int = 64, slots: int = 0
) -> np.ndarray:
    """Log-likelihood of the alternative allele minus that of the reference, in nats.

    Flanks of the n edits that do not fit the model's rows lose their outer ends. A row has `slots`,
    at most the model's own, which 0 takes; `rows` are computed at once. The result is float64
    (n, 2): on the + strand, and on the reverse complement. A ValueError if the model was trained on
    none of the three ways to score, or its rows are too short for an allele.
    """
    slots = min(slots or model.slots, model.slots)
    write = _writer(model)
    written = [
        write(left, allele, right)
        for edit in edits
        for left, *alleles, right in _strands(edit, slots)
        for allele in alleles
    ]
    values = np.zeros(len(written))
    for first in range(0, len(written), rows):
        some = written[first : first + rows]
        full = some + [some[-1]] * (rows - len(some))
        tokens, labels, prefix = zip(*full, strict=True)
        ids = (padded(rows_of, slots, np.int32)[0] for rows_of in (tokens, labels))
        found = _log_likelihoods(model.net, *ids, np.array(prefix, np.int32), model.bidirectional)
        values[first : first + rows] = np.asarray(found)[: len(some)]
    ref, alt = values.reshape(-1, 2, 2).transpose(2, 0, 1)
    return alt - ref


def _strands(edit: Edit, slots: int) -> tuple[Edit, Edit]:
    """The edit with flanks that fit a row, as it is read on the + strand and on the other one."""
    longest = max(len(edit.ref), len(edit.alt))
    flank = (slots - longest - _BESIDE) // 2
    if flank < 1:
        raise ValueError(f"an allele of {longest} bases does not fit rows of {slots} slots")
    left = edit.left[max(0, len(edit.left) - flank) :]
    forward = Edit(left, edit.ref, edit.alt, edit.right[:flank])
    left, ref, alt, right = map(vocab.reverse_complement, forward)
    return forward, Edit(right, ref, alt, left)


class Row(NamedTuple):
    """A row that asks for an allele: tokens, labels (`<pad>` where none is asked), and prefix."""

    tokens: list[int]
    labels: list[int]
    prefix: int


def _writer(model: Model) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Row]:
    """How the model was trained to write an allele: as a missing span, one by one, or in place.

    The row is one of a left flank, the allele and a right flank.
    """
    objectives = dict(model.config.get("objectives") or ())
    if infilling := [of for of in objectives.values() if of.get("type") == "Infilling"]:
        own = min(infilling, key=lambda of: of["rate"])  # it shows most of the window
        return partial(_infilling, own["token"], own.get("sentinel_first", True))
    if "next_token" in objectives:
        return lambda left, allele, right: _after_prompt([], [*left, *allele, *right])
    if masked := [of for of in objectives.values() if of.get("type") == "MaskedTokens"]:
        return partial(_in_place, masked[0]["token"])
    known = ", ".join(objectives) or "the classes of a task"
    raise ValueError(
        f"{model.name} was trained on {known}; variants are scored by next-token prediction, "
        "infilling or masked tokens: give a model of `birdiedna pretrain --arm ntp`, birdie or mlm"
    )


def _infilling(
    token: int | None, first: bool, left: np.ndarray, allele: np.ndarray, right: np.ndarray
) -> Row:
    """The row of infilling whose only missing span is the allele.

    `token` opens the row, if there is one; the sentinel stands `first` in the label, or behind.
    """
    opening, sentinel = [] if token is None else [token], vocab.FIRST_SENTINEL
    label = [*([sentinel, *allele] if first else [*allele, sentinel]), vocab.EOS]
    return _after_prompt([*opening, *left, sentinel, *right], label)


def _in_place(token: int, left: np.ndarray, allele: np.ndarray, right: np.ndarray) -> Row:
    """The row of masked tokens, whose masks are the allele."""
    tokens = [token, *left, *[vocab.MASK] * len(allele), *right, vocab.START]
    return Row(tokens, [vocab.PAD] * (1 + len(left)) + [*allele], len(tokens))


def _after_prompt(prompt: list[int], label: list[int]) -> Row:
    """The row that writes a label, token after token, behind a prompt and `<start>`."""
    tokens = [*prompt, vocab.START, *label[:-1]]
    return Row(tokens, [vocab.PAD] * len(prompt) + label, len(prompt))


@partial(jax.jit, static_argnames="bidirectional")
def _log_likelihoods(
    net: Transformer, tokens: jax.Array, labels: jax.Array, prefix: jax.Array, bidirectional: bool
) -> jax.Array:
    """Log-likelihood (B,) of the labels of rows (B, slots); an unknown base counts nothing."""
    counted = ((labels != vocab.PAD) & (labels != vocab.N)).astype(jnp.float32)
    batch = Batch(tokens, labels, counted, prefix, jnp.zeros_like(prefix))
    return -pretrain.row_losses(net, batch, bidirectional)[0]
