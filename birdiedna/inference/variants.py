"""Zero-shot variant effects: log-likelihood ratios of the alternative and the reference allele.

A causal model scores the whole window with each allele. A model of the mixture scores each allele
as the missing span of an infilling row. A masked model scores it as masked tokens, whose number
tells it the allele's length.
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
from birdiedna.data.names import listed, quantity
from birdiedna.data.variants import Variant
from birdiedna.inference.sequences import batches, chunks
from birdiedna.model.transformer import Transformer
from birdiedna.objectives.program import Batch
from birdiedna.training import pretrain
from birdiedna.training.prompt import in_parts, row_slots
from birdiedna.training.weights import Model

#: Longest allele that is scored, in bases.
LONGEST_ALLELE = 50
#: Special tokens of an infilling row: objective, sentinel (twice), `<start>`, `<eos>`.
_SPECIAL_TOKENS = 5
#: The first columns of a table of scores are the first fields of a variant.
_ALLELE = {"contig": pl.String, "position": pl.Int64, "id": pl.String}
_ALLELE |= {"ref": pl.String, "alt": pl.String}
#: With more alleles than this, a majority that disagrees with the genome means another assembly.
_FEW = 10


class Edit(NamedTuple):
    """Two alleles between the same flanks, each base ids uint8 (n,) of the + strand."""

    left: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    right: np.ndarray


def variants(
    model: Model, genome: Genome | None, path: Path | str, rows: int = 64
) -> Iterator[pl.DataFrame]:
    """Yield the scores of every alternative allele of a file (`data.variants.read`).

    The model is from `experiments.models.load`. The genome is the file's assembly; with None the
    file contains the sequence around each variant. Each allele takes four of the `rows` computed
    at once.

    Returns:
      frames of contig, position, id, ref, alt, llr (log-likelihood of the alternative allele minus
      that of the reference, in nats, mean of both strands; negative: the model finds the variant
      less likely), llr_forward, llr_reverse and note (why an allele was not scored, or "").

    Raises:
      ValueError: as in `data.variants.read`, `check` and `likelihood_ratios`.
    """
    path = Path(path)
    check(path, genome)
    placed = _placer(genome)
    for chunk in chunks(files.read(path, windows=genome is None), lambda _: model.slots):
        yield _scored(model, chunk, [*map(placed, chunk)], rows)


def check(path: Path | str, genome: Genome | None) -> None:
    """Refuse a file of another assembly, by its VCF header and its reference alleles.

    ValueError if there is no variant, no contig is in the genome, one has another length, or most
    alleles disagree.
    """
    path = Path(path)
    counts, first, placed = Counter[str](), dict[str, str](), _placer(genome)
    used = set()
    for variant in files.read(path, windows=genome is None):
        used.add(variant.contig)
        note, _, _ = placed(variant)
        word = note.split(" ")[0]
        kind = {"REF": "wrong", "outside": "wrong", "no": "missing"}.get(word, "fit")
        counts[kind] += 1
        first.setdefault(kind, note)
    if genome:
        files.check_assembly(path, genome, used)
    if not (alleles := counts.total()):
        raise ValueError(f"{path} contains no variant; give another file")
    if genome and counts["missing"] == alleles:
        known = listed([contig.name for contig in genome.contigs])
        raise ValueError(
            f"{path}: {first['missing']}, which contains {known}; give the genome of the variants"
        )
    if alleles > _FEW and 2 * counts["wrong"] > alleles:
        source = genome.source if genome else "their sequences"
        raise ValueError(
            f"{path}: {quantity(counts['wrong'], f'of {alleles:,} alleles disagree')} with "
            f"{source} (first: {first['wrong']}); give the genome of the variants' assembly"
        )


#: Why an allele cannot be scored, or ""; the sequence around it, and its index in that sequence.
_Place = tuple[str, np.ndarray, int]


def _placer(genome: Genome | None) -> Callable[[Variant], _Place]:
    """Return the function that locates an allele in the genome, or in the sequence of its file."""
    find = intervals.locator(genome) if genome else lambda _: None
    return lambda variant: _place(variant, genome, find(variant.contig))


def _place(variant: Variant, genome: Genome | None, contig: Contig | None) -> _Place:
    tokens, first, source = variant.window, variant.at, "ref_seq"
    if genome:
        source = genome.source
        if not contig:
            return f"no contig {variant.contig!r} in {source}", np.zeros(0, np.uint8), 0
        tokens = genome.tokens[contig.start : contig.start + contig.length]
        first = variant.position - 1
    assert tokens is not None  # read from the file if there is no genome
    stop = first + len(variant.ref)
    note = ""
    if not variant.alt or not set(variant.alt) <= set("ACGT"):
        note = f"ALT {variant.alt[:20]!r} is not a sequence of A, C, G, T"
    elif max(len(variant.ref), len(variant.alt)) > LONGEST_ALLELE:
        note = f"more than {LONGEST_ALLELE} bases"
    elif stop > len(tokens):
        note = f"outside the {len(tokens):,} bases of {variant.contig}"
    elif (found := vocab.decode(tokens[first:stop])) != variant.ref:
        note = f"REF is {found} in {source}"
    elif "N" in variant.ref:
        note = "N in REF"
    return note, tokens, first


def scored(
    model: Model, genome: Genome | None, held: Sequence[Variant], slots: int = 0
) -> pl.DataFrame:
    """Score alleles; the result is as in `variants`, `slots` as in `likelihood_ratios`."""
    return _scored(model, held, [*map(_placer(genome), held)], slots=slots)


def _scored(
    model: Model, held: Sequence[Variant], placed: Sequence[_Place], rows: int = 64, slots: int = 0
) -> pl.DataFrame:
    """As `scored`, of located alleles."""
    notes = [note for note, _, _ in placed]
    edits = [
        edit(tokens, first, len(variant.ref), vocab.encode(variant.alt))
        for variant, (note, tokens, first) in zip(held, placed, strict=True)
        if not note
    ]
    ratios = np.full((len(held), 2), np.nan)
    ratios[[not note for note in notes]] = likelihood_ratios(model, edits, rows, slots)
    alleles = pl.DataFrame([variant[:5] for variant in held], _ALLELE, orient="row")
    scores = {"llr": ratios.mean(axis=1), "llr_forward": ratios[:, 0], "llr_reverse": ratios[:, 1]}
    return alleles.with_columns(pl.DataFrame(scores).fill_nan(None), note=pl.Series(notes))


def edit(window: np.ndarray, place: int, bases: int, alt: np.ndarray) -> Edit:
    """Return the replacement of some bases of a window, base ids uint8 (W,), from `place` on.

    Raises ValueError if they are not all in the window.
    """
    stop = place + bases
    if not 0 <= place <= stop <= len(window):
        raise ValueError(f"bases {place} to {stop - 1} are not in a window of {len(window)} bases")
    return Edit(window[:place], window[place:stop], alt, window[stop:])


def likelihood_ratios(
    model: Model, edits: Sequence[Edit], rows: int = 64, slots: int = 0
) -> np.ndarray:
    """Return the log-likelihood of the alternative minus that of the reference allele, in nats.

    The result is float64 (n, 2): + strand and reverse complement of n edits. Flanks too long for a
    row are trimmed at their outer ends. A row has `slots` slots, at most the model's (0: the
    model's); `rows` are computed at once. Raises ValueError if the model was trained on none of the
    objectives that can score, or its rows are too short for an allele.
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
    for chosen in batches(range(len(written)), rows):
        tokens, labels, prefix = zip(*(written[i] for i in chosen), strict=True)
        width = min(slots, row_slots(max(map(len, tokens)) - 1))
        ids = (padded(lists, width, np.int32)[0] for lists in (tokens, labels))
        found = _log_likelihoods(model.net, *ids, np.array(prefix, np.int32), model.bidirectional)
        values[chosen] = found
    ref, alt = values.reshape(-1, 2, 2).transpose(2, 0, 1)
    return alt - ref


def _strands(edit: Edit, slots: int) -> tuple[Edit, Edit]:
    """Return the edit, with flanks that fit a row, on the + strand and on the - strand."""
    longest = max(len(edit.ref), len(edit.alt))
    flank = (slots - longest - _SPECIAL_TOKENS) // 2
    if flank < 1:
        raise ValueError(f"an allele of {longest} bases does not fit in rows of {slots} slots")
    left = edit.left[max(0, len(edit.left) - flank) :]
    forward = Edit(left, edit.ref, edit.alt, edit.right[:flank])
    left, ref, alt, right = map(vocab.reverse_complement, forward)
    return forward, Edit(right, ref, alt, left)


class Row(NamedTuple):
    """A row that scores an allele: tokens, labels (`<pad>` where nothing is scored), prefix."""

    tokens: list[int]
    labels: list[int]
    prefix: int


def _writer(model: Model) -> Callable[[np.ndarray, np.ndarray, np.ndarray], Row]:
    """Return the function that makes a row of left flank, allele and right flank.

    By the model's objectives, the allele is a missing span, the next tokens, or masked in place.
    """
    objectives = dict(model.config.get("objectives") or ())
    if infilling := [entry for entry in objectives.values() if entry.get("type") == "Infilling"]:
        chosen = min(infilling, key=lambda entry: entry["rate"])  # shows most of the window
        return partial(_infilling, chosen["token"], chosen.get("sentinel_first", True))
    if "next_token" in objectives:
        return lambda left, allele, right: _after_prompt([], [*left, *allele, *right])
    if masked := [entry for entry in objectives.values() if entry.get("type") == "MaskedTokens"]:
        return partial(_in_place, masked[0]["token"])
    known = ", ".join(objectives) or "the classes of a task"
    raise ValueError(
        f"{model.name} was trained on {known}; variants are scored by next-token prediction, "
        "infilling or masked tokens; give a model of `birdiedna pretrain --arm ntp`, birdie or mlm"
    )


def _infilling(
    token: int | None, first: bool, left: np.ndarray, allele: np.ndarray, right: np.ndarray
) -> Row:
    """Return the infilling row whose only missing span is the allele.

    `token`, if not None, opens the row; the sentinel comes `first` in the label, or last.
    """
    opening, sentinel = [] if token is None else [token], vocab.FIRST_SENTINEL
    label = [*([sentinel, *allele] if first else [*allele, sentinel]), vocab.EOS]
    return _after_prompt([*opening, *left, sentinel, *right], label)


def _in_place(token: int, left: np.ndarray, allele: np.ndarray, right: np.ndarray) -> Row:
    """Return the row of masked tokens in which the allele is masked."""
    tokens = [token, *left, *[vocab.MASK] * len(allele), *right, vocab.START]
    return Row(tokens, [vocab.PAD] * (1 + len(left)) + [*allele], len(tokens))


def _after_prompt(prompt: list[int], label: list[int]) -> Row:
    """Return the row that predicts a label, token by token, after a prompt and `<start>`."""
    tokens = [*prompt, vocab.START, *label[:-1]]
    return Row(tokens, [vocab.PAD] * len(prompt) + label, len(prompt))


@partial(jax.jit, static_argnames="bidirectional")
def _log_likelihoods(
    net: Transformer, tokens: jax.Array, labels: jax.Array, prefix: jax.Array, bidirectional: bool
) -> jax.Array:
    """Return the log-likelihood (B,) of the labels of rows (B, slots), without unknown bases."""

    def read(tokens: jax.Array, labels: jax.Array, prefix: jax.Array) -> jax.Array:
        counted = ((labels != vocab.PAD) & (labels != vocab.N)).astype(jnp.float32)
        batch = Batch(tokens, labels, counted, prefix, jnp.zeros_like(prefix))
        return -pretrain.row_losses(net, batch, bidirectional)[0]

    return in_parts(read, tokens, labels, prefix)
