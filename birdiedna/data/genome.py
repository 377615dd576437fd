"""The genome: one array of base ids, its contigs, named splits and windows without N.

`fasta` reads sequence files; this module has the arrays, and the numpy file that caches a genome
and carries it to another machine. Functions marked *device* are pure, take JAX arrays, and work
under `jit` and `vmap`. Positions are uint32, since a human genome (3.1 Gb) exceeds int32. Packed to
two bits per base it takes 0.78 GB instead of 3.1. Two bits cannot encode N, which is stored as A;
windows contain no N, so they are the same from both forms.
"""

import bisect
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.data.chromosomes import HELD_OUT, chromosome, is_whole
from birdiedna.data.files import replacing
from birdiedna.data.names import listed, meant
from birdiedna.data.stored import parse, read_arrays

_BASES = 4  # per byte, the first in the lowest bits
_BLOCK_BASES = 1 << 22


class Packed(NamedTuple):
    """Base ids, two bits each: uint8 (G // 4 + 1 or more,); the last byte is padding."""

    bytes: jax.Array | np.ndarray


def pack(tokens: np.ndarray) -> Packed:
    """Pack base ids (G,) uint8 on the host, block by block."""
    packed = np.zeros(-(-len(tokens) // _BASES) + 1, np.uint8)
    for start in range(0, len(tokens), _BLOCK_BASES):
        block = tokens[start : start + _BLOCK_BASES] & 3  # A, C, G, T and N become 0, 1, 2, 3, 0
        four = np.pad(block, (0, -len(block) % _BASES)).view("<u4")
        first = start // _BASES
        packed[first : first + len(four)] = four | four >> 6 | four >> 12 | four >> 18
    return Packed(packed)


def _unpack(packed: np.ndarray, size: int) -> np.ndarray:
    """Return the first `size` base ids of packed bytes, block by block."""
    ids = (np.arange(256)[:, None] >> np.arange(0, 8, 2) & 3) + vocab.A
    four = ids.astype(np.uint8).view(np.uint32).ravel()
    tokens = np.empty(-(-size // _BASES), np.uint32)
    step = _BLOCK_BASES // _BASES
    for start in range(0, len(tokens), step):
        block = tokens[start : start + step]
        np.take(four, packed[start : start + len(block)], out=block)
    return tokens.view(np.uint8)[:size]


class Contig(NamedTuple):
    """A named part of a genome: offset into its tokens and length, both in bases."""

    name: str
    start: int
    length: int


@dataclass(frozen=True)
class Genome:
    """Base ids (G,) uint8 (`vocab.A` to `vocab.N`), read-only, with the contigs in order.

    fingerprint: sha256 of tokens and contigs. source: name of the file. notes: counts from reading
    (bases turned into N, lower case, empty contigs).
    """

    tokens: np.ndarray = field(compare=False)
    contigs: tuple[Contig, ...]
    fingerprint: str
    source: str = field(compare=False)
    notes: Mapping[str, int] = field(default_factory=dict, compare=False)


class Split(NamedTuple):
    """Names of contigs for training, for the held-out loss, and excluded from pre-training."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    held_out: tuple[str, ...]


class Windows(NamedTuple):
    """All valid window starts: `first` (K,) of each stretch without N, `cumulative` (K,) counts.

    Both are uint32. Stretch k has the starts first[k], first[k] + 1, ...; cumulative[k] is the
    number of starts in stretches 0..k, so the last entry is the number of windows.
    """

    first: jax.Array | np.ndarray
    cumulative: jax.Array | np.ndarray


def assemble(
    tokens: np.ndarray,
    lengths: Sequence[tuple[str, int]],
    source: str,
    notes: Mapping[str, int] | None = None,
) -> Genome:
    """Make a genome from tokens (G,) uint8 and the (name, length) of its contigs, in order.

    Raises ValueError for 0 or 2^32 bases, ids that are no bases, a repeated name, or lengths that
    do not add up.
    """
    tokens = np.asarray(tokens).view()
    names, sizes = [name for name, _ in lengths], [length for _, length in lengths]
    if not 0 < len(tokens) < 2**32:
        raise ValueError(f"{source}: {len(tokens):,} bases; give 1 to {2**32 - 1:,}")
    if tokens.dtype != np.uint8 or tokens.min() < vocab.A or tokens.max() > vocab.N:
        raise ValueError(
            f"{source}: tokens are {tokens.dtype}, {tokens.min()} to {tokens.max()}; give base "
            f"ids, uint8 from {vocab.A} to {vocab.N}, as of vocab.encode"
        )
    if sum(sizes) != len(tokens):
        raise ValueError(f"{source}: {sum(sizes):,} bases in contigs, but {len(tokens):,} tokens")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{source}: contig {repeated[0]!r} occurs twice; rename one of them")
    tokens.flags.writeable = False  # of a frozen genome, which a process reads once for all
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    contigs = tuple(Contig(*c) for c in zip(names, starts, sizes, strict=True))
    digest = hashlib.sha256(json.dumps(contigs).encode())
    digest.update(np.ascontiguousarray(tokens).data)
    return Genome(tokens, contigs, digest.hexdigest(), source, dict(notes or {}))


def from_sequences(sequences: Mapping[str, str], source: str = "given sequences") -> Genome:
    """Make a genome from contig name -> sequence of letters."""
    tokens = vocab.encode("".join(sequences.values()))
    return assemble(tokens, [(name, len(s)) for name, s in sequences.items()], source)


def save(genome: Genome, path: Path | str) -> None:
    """Write one numpy file, two bits per base, atomically."""
    about = {
        "contigs": [[contig.name, contig.length] for contig in genome.contigs],
        "fingerprint": genome.fingerprint,
        "source": genome.source,
        "notes": dict(genome.notes),
    }
    known = np.concatenate([stretches(genome, contig) for contig in genome.contigs])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, bases=pack(genome.tokens).bytes, known=known, about=json.dumps(about))


#: Shape of what is stored with the bases; contigs are pairs of name and length.
_ABOUT = {"contigs": [[(str, int)]], "fingerprint": str, "source": str, "notes": {}}


def load(path: Path | str) -> Genome:
    """Read a file written by `save`; ValueError if it is missing, damaged or of an old version."""
    path = Path(path)
    try:
        stored = read_arrays(path, names=("about", "bases", "known"))
        about = parse(str(stored["about"]).encode(), path, _ABOUT)
        size = sum(length for _, length in about["contigs"])
        tokens = _unpack(stored.pop("bases"), size)
        end = 0
        for first, last in [*stored["known"].tolist(), (size, size)]:
            tokens[end:first] = vocab.N
            end = last
        found = assemble(tokens, about["contigs"], about["source"], about["notes"])
    except (OSError, ValueError, LookupError, TypeError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable genome ({error}); create it again") from error
    if found.fingerprint != about["fingerprint"]:
        raise ValueError(f"{path}: the checksum of the bases is wrong; create the file again")
    return found


#: A part of a contig, named as in samtools: 1-based, end inclusive.
_PART = re.compile(r"(.+):(\d{1,10})-(\d{1,10})")


def listed_contigs(text: str, genome: Genome | None = None) -> tuple[str, ...]:
    """Split a list of contigs and parts of contigs, separated by commas or blanks.

    Those of `genome` may have commas in their names. ValueError if a number in a part contains
    commas, as in chr8:1-5,000.
    """
    names = _names(genome.contigs) if genome else ()
    own = "|".join(re.escape(name) for name in names if re.search(r"[,\s]", name))
    if own and re.search(listed := rf"(?:{own})(?::\d+-\d+)?(?![^,\s])", text):
        return tuple(re.findall(rf"{listed}|[^,\s]+", text))
    if number := re.search(r":(\d+-)?(\d{1,3}(,\d{3})+)(?!\d)", text):
        plain = number[2].replace(",", "")
        raise ValueError(f"{text!r}: a comma separates contigs; write {plain}")
    return tuple(filter(None, re.split(r"[,\s]+", text)))


def contigs_named(genome: Genome, names: Sequence[str]) -> tuple[Contig, ...]:
    """Return the named contigs: by exact name, else all contigs of that chromosome.

    `contig:start-end` (1-based, end inclusive) is a part of a contig. The ValueError for a name
    that matches no contig, or a part that leaves its contig, gives the closest and all names; one
    text in place of several names is refused, too.
    """
    _refuse_text(names)
    exact = {contig.name: contig for contig in genome.contigs}
    found: dict[str, Contig] = {}
    for name in names:
        matches = [exact[name]] if name in exact else _meant(genome, name)
        if not matches:
            raise ValueError(_unknown(genome, name))
        found |= {c.name: c for c in matches}
    return tuple(found.values())


def _refuse_text(names: Sequence[str]) -> None:
    """Refuse a text, which is a sequence of letters."""
    if isinstance(names, str):
        raise ValueError(f"{names!r} is one text; give a tuple of contigs, as ({names!r},)")


def _meant(genome: Genome, name: str) -> list[Contig]:
    """Return the contig of a name, a part of one (`contig:start-end`), or all of a chromosome."""
    if exact := [contig for contig in genome.contigs if contig.name == name]:
        return exact
    match = _PART.fullmatch(name)
    if not match:
        wanted = chromosome(name) if is_whole(name) else ""
        return [contig for contig in genome.contigs if chromosome(contig.name) == wanted]
    whole = _meant(genome, match[1])
    if len(whole) != 1:
        return []
    first, last = int(match[2]), int(match[3])
    if not 1 <= first <= last <= whole[0].length:
        raise ValueError(
            f"{name} is not a part of {whole[0].name} in {genome.source}, which has "
            f"{whole[0].length:,} bases; give start-end with 1 <= start <= end"
        )
    return [part_of(whole[0], first - 1, last)]


def part_of(contig: Contig, start: int, end: int) -> Contig:
    """Return bases start..end-1 of a contig, named `contig:start-end` as in `contigs_named`.

    ValueError if it has not all of these bases.
    """
    if not 0 <= start < end <= contig.length:
        raise ValueError(f"{start}:{end} is not in 0:{contig.length} of {contig.name}")
    if (start, end) == (0, contig.length):
        return contig
    return Contig(f"{contig.name}:{start + 1}-{end}", contig.start + start, end - start)


def _part_at(genome: Genome, start: int, end: int) -> str:
    """Return the name of positions start..end-1 as a part of their contig, not of a part of it."""
    whole = next(contig for contig in reversed(genome.contigs) if contig.start <= start)
    return part_of(whole, start - whole.start, end - whole.start).name


def _unknown(genome: Genome, name: str) -> str:
    known = _names(genome.contigs)
    part = f"write a part as {known[0]}:1-{genome.contigs[0].length}, or " * (":" in name)
    hint = f"{meant(name, known)}{part}choose from {listed(known, 30)}"
    return f"no contig {name!r} in {genome.source}; {hint}"


def split(
    genome: Genome,
    validation: Sequence[str],
    held_out: Sequence[str] = HELD_OUT,
    train: Sequence[str] = (),
) -> Split:
    """Split the contigs into training, validation and held-out ones.

    `held_out` names are as in `contigs_held_out`. A whole chromosome for validation brings all its
    contigs, so that no copy (`chr8_alt`, or `8` beside `chr8`) is trained on. Without `train`,
    everything else is trained on: also contigs of unknown chromosome, and the rest of a contig of
    which a part is for validation.
    ValueError for an unknown contig, a held-out name that is neither chromosome nor contig, bases
    in two splits, or an empty training or validation split.
    """
    held = contigs_held_out(genome, held_out)
    outside = without(genome.contigs, held)
    if not outside:
        raise ValueError(
            f"all contigs of {genome.source} are held out for testing ({listed(_names(held))}); "
            f"give a genome with contigs other than {', '.join(held_out)}"
        )
    valid = contigs_named(genome, validation)
    if not valid:
        raise ValueError(f"no contig of {genome.source} is given for validation; name one")
    whole = {chromosome(contig.name) for contig in valid if is_whole(contig.name)}
    named = {*valid}
    valid += tuple(c for c in outside if c not in named and chromosome(c.name) in whole)
    if both := _shared(valid, held):
        raise ValueError(
            f"{both} cannot be used for validation: {', '.join(held_out)} are held out for "
            "testing; name other contigs"
        )
    chosen = contigs_named(genome, train) if train else without(genome.contigs, (*held, *valid))
    for part, others in (("validation", valid), ("held out", held)):
        if both := _shared(chosen, others):
            raise ValueError(f"contig {both!r} is in training and {part}; name it only once")
    _require_apart(valid)
    if not chosen:
        longest = max(outside, key=lambda contig: contig.length)
        first, length = longest[1:]
        remedy = _part_at(genome, first + length * 9 // 10, first + length)
        raise ValueError(
            f"no contig of {genome.source} remains for training: all are for validation "
            f"({listed(_names(valid))}); name only some of them, or a part such as {remedy}"
        )
    return Split(*map(_names, (chosen, valid, held)))


def _names(contigs: Sequence[Contig]) -> tuple[str, ...]:
    return tuple(contig.name for contig in contigs)


def _require_apart(contigs: Sequence[Contig]) -> None:
    for one, other in itertools.pairwise(sorted(contigs, key=lambda contig: contig.start)):
        if other.start < one.start + one.length:
            raise ValueError(f"{one.name} and {other.name} overlap; name every base only once")


def _shared(some: Sequence[Contig], others: Sequence[Contig]) -> str:
    """Return the name of the first contig that overlaps any of the others; "" if none does."""
    begins = sorted(contig.start for contig in others)
    ends = sorted(contig.start + contig.length for contig in others)
    for contig in some:
        before = bisect.bisect_left(begins, contig.start + contig.length)
        if before > bisect.bisect_right(ends, contig.start):
            return contig.name
    return ""


def without(contigs: Sequence[Contig], parts: Sequence[Contig]) -> tuple[Contig, ...]:
    """Return contigs, in order, with parts removed."""
    whole = {*contigs} & {*parts}
    pieces = sorted({*parts} - whole, key=lambda piece: piece.start)
    remaining = []
    for contig in (contig for contig in contigs if contig not in whole):
        at = 0
        for piece in pieces:
            if 0 <= (start := piece.start - contig.start) < contig.length:
                if start > at:
                    remaining.append(part_of(contig, at, start))
                at = max(at, start + piece.length)
        if at < contig.length or not at:
            remaining.append(part_of(contig, at, contig.length))
    return tuple(remaining)


def contigs_held_out(genome: Genome, names: Sequence[str]) -> tuple[Contig, ...]:
    """Return all contigs of the named chromosomes and the named parts of contigs.

    A chromosome may be missing from the genome. Raises ValueError for other unknown names, a part
    that leaves its contig, or parts that overlap.
    """
    _refuse_text(names)
    known = {contig.name for contig in genome.contigs}
    parts = {n: _meant(genome, n) for n in names if n not in known and _PART.fullmatch(n)}
    if wrong := [n for n in names if not (n in known or parts.get(n) or is_whole(n))]:
        raise ValueError(
            f"held-out {wrong[0]!r} is not a chromosome, and there is {_unknown(genome, wrong[0])}"
        )
    wanted = {chromosome(name) for name in names if not parts.get(name)}
    whole = [contig for contig in genome.contigs if chromosome(contig.name) in wanted]
    inside = [part for found in parts.values() for part in found if not _shared([part], whole)]
    _require_apart(inside)
    return (*whole, *inside)


#: Default share of the bases for validation.
_LEAST, _MOST = 0.05, 0.1


def default_validation(
    genome: Genome, usual: Sequence[str], held_out: Sequence[str] = HELD_OUT, least: int = 0
) -> tuple[str, ...]:
    """Choose contigs for the held-out loss: the usual ones, or 5 to 10% of the bases.

    The usual ones are chosen if they exist and contain at most half of the bases. Otherwise the
    last contig with at least 5% of the bases is chosen, or its end if it has more than 10%; if no
    contig is that long, the longest ones until they have 5%. N and held-out contigs do not count.
    In a small genome at least `least` bases are chosen, but at most half of a contig. ValueError
    if, N and held-out contigs aside, there are not more than `least` bases.
    """
    _refuse_text(usual)
    outside = without(genome.contigs, contigs_held_out(genome, held_out))
    wanted = {chromosome(name) for name in usual}
    named = sum(c.length for c in outside if c.name in usual or chromosome(c.name) in wanted)
    if 0 < 2 * named <= sum(contig.length for contig in outside) or not outside:
        return tuple(usual)
    known = {c: int(np.diff(stretches(genome, c), axis=1).sum()) for c in outside}
    total = sum(known.values())
    if not total:
        raise ValueError(f"{genome.source} contains only N; give another genome")
    if total <= least:
        raise ValueError(
            f"{genome.source} has {total:,} bases without N; pre-training needs more than "
            f"{least:,}; give a longer genome"
        )
    long = [c for c in outside if known[c] >= _LEAST * total]
    if not long:
        order = sorted(outside, key=lambda contig: -known[contig])
        before = itertools.accumulate((known[contig] for contig in order), initial=0)
        return tuple(c.name for c, sum_ in zip(order, before) if sum_ < _LEAST * total)
    last = next((c for c in reversed(long) if known[c] >= least), long[-1])
    if known[last] <= _MOST * total:
        return (last.name,)
    bases = max(1, int(_MOST * total), min(least, known[last] // 2))
    runs = stretches(genome, last)[::-1]
    sizes = np.cumsum(runs[:, 1] - runs[:, 0])
    run = int(np.searchsorted(sizes, bases))
    start = int(runs[run, 0] + sizes[run]) - bases
    return (_part_at(genome, start, last.start + last.length),)


def windows(genome: Genome, names: Sequence[str], length: int) -> Windows:
    """Return all starts of windows of `length` bases without N in the named contigs.

    Raises ValueError if no contig is named, `length` is not positive, or no stretch without N is
    long enough; the message gives the longest.
    """
    if length < 1 or not len(names):
        raise ValueError(f"windows of {length:,} bases in {len(names)} contigs; give 1 or more")
    known = np.concatenate([stretches(genome, contig) for contig in contigs_named(genome, names)])
    sizes = known[:, 1] - known[:, 0]
    fits = sizes >= length
    if not fits.any():
        raise ValueError(
            f"{genome.source}: no window of {length:,} bases in {listed(names)}: the longest "
            f"stretch without N has {sizes.max(initial=0):,}; use contigs of at least {length:,} "
            "bases without N, or other --validation contigs"
        )
    counts = np.cumsum(sizes[fits] - length + 1)
    return Windows(known[fits, 0].astype(np.uint32), counts.astype(np.uint32))


def not_drawn(genome: Genome, names: Sequence[str], length: int) -> int:
    """Return the bases of contigs that are in no window: N, and stretches too short for one."""
    found = windows(genome, names, length)
    drawn = int(found.cumulative[-1]) + (length - 1) * len(found.first)
    return sum(contig.length for contig in contigs_named(genome, names)) - drawn


def stretches(genome: Genome, contig: Contig) -> np.ndarray:
    """Return start and end (K, 2) of the stretches without N in a contig, in genome positions."""
    if not contig.length:
        return np.zeros((0, 2), np.int64)
    tokens, edges = genome.tokens[contig.start : contig.start + contig.length], [np.array([0])]
    for first in range(0, contig.length, _BLOCK_BASES):  # by blocks, to save memory
        known = tokens[first : first + _BLOCK_BASES + 1] != vocab.N
        edges.append(np.flatnonzero(known[1:] != known[:-1]) + first + 1)
    borders = np.concatenate([*edges, [contig.length]])
    runs = np.stack([borders[:-1], borders[1:]], axis=1)
    return runs[tokens[runs[:, 0]] != vocab.N] + contig.start


def draw(key: jax.Array, windows: Windows) -> jax.Array:
    """*Device*: draw the start of a window uniformly, uint32 scalar.

    `jax.random.randint` is far from uniform over billions: it takes a 32-bit word modulo the range
    (seen in jax 0.10.2). Here the bias is below 2^-32.
    """
    return _start(windows, _below(key, jnp.asarray(windows.cumulative)[-1]))


def _start(windows: Windows, rank: jax.Array) -> jax.Array:
    """Return the start of window number `rank`, 0 <= rank < cumulative[-1]; any shape."""
    first, cumulative = jnp.asarray(windows.first), jnp.asarray(windows.cumulative)
    before = jnp.concatenate([jnp.zeros((1,), jnp.uint32), cumulative[:-1]])
    stretch = jnp.searchsorted(cumulative, rank, side="right")
    return first[stretch] + (rank - before[stretch])


def _below(key: jax.Array, total: jax.Array) -> jax.Array:
    """Draw a uint32 in 0..total-1: the top word of a random 64-bit number times `total`."""
    high, low = jax.random.bits(key, (2,), jnp.uint32)
    middle = high * total
    carry = (middle + _high_word(low, total) < middle).astype(jnp.uint32)
    return _high_word(high, total) + carry


def _high_word(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the upper 32 bits of the product of two uint32, computed in 16-bit halves."""
    half, low = jnp.uint32(16), jnp.uint32(0xFFFF)
    middle = (a >> half) * (b & low) + ((a & low) * (b & low) >> half)
    other = (a & low) * (b >> half) + (middle & low)
    return (a >> half) * (b >> half) + (middle >> half) + (other >> half)


def fixed_starts(windows: Windows, count: int, source: str = "held-out contigs") -> np.ndarray:
    """Return `count` evenly spaced window starts (count,) uint32: the held-out set.

    Raises ValueError, which begins with `source`, if there are fewer windows.
    """
    total = int(windows.cumulative[-1])
    if count < 1 or count % 1:
        raise ValueError(f"{source}: {count:,} windows requested; give 1 or more, a whole number")
    if count > total:
        raise ValueError(
            f"{source}: {count:,} windows requested, {total:,} exist; use contigs with "
            f"{count - total:,} more bases without N, or other --validation contigs"
        )
    ranks = [(2 * i + 1) * total // (2 * count) for i in range(count)]
    return np.asarray(_start(windows, jnp.asarray(np.array(ranks, np.uint32))))


def cut(tokens: jax.Array | np.ndarray | Packed, start: jax.Array, length: int) -> jax.Array:
    """*Device*: return `length` base ids, uint8, from `start` (uint32, also beyond 2^31)."""
    start = jnp.asarray(start, jnp.uint32)
    if not isinstance(tokens, Packed):
        return jax.lax.dynamic_slice(tokens, (start,), (length,))
    count = (length + 2 * _BASES - 2) // _BASES  # bytes of a window with any alignment
    piece = jax.lax.dynamic_slice(tokens.bytes, (start // _BASES,), (count,))
    shifts = jnp.arange(0, 8, 2, dtype=jnp.uint8)
    codes = (piece[:, None] >> shifts[None, :] & 3).reshape(-1)
    return jax.lax.dynamic_slice(codes, (start % _BASES,), (length,)) + jnp.uint8(vocab.A)


def reverse_complement(tokens: jax.Array) -> jax.Array:
    """*Device*: return the reverse complement (last axis); host: `vocab.reverse_complement`."""
    base = (tokens >= vocab.A) & (tokens <= vocab.T)
    return jnp.where(base, (vocab.A + vocab.T) - tokens, tokens)[..., ::-1]


def order0_entropy(genome: Genome, names: Sequence[str]) -> float:
    """Return the entropy of the bases of the named contigs, in nats per base; N does not count.

    ValueError if the contigs contain only N.
    """
    counts = np.zeros(4)
    for contig in contigs_named(genome, names):
        bases = genome.tokens[contig.start : contig.start + contig.length]
        counts += [np.count_nonzero(bases == base) for base in range(vocab.A, vocab.N)]
    if not counts.sum():
        raise ValueError(f"contigs {listed(names, 30)} contain only N; name others")
    shares = counts[counts > 0] / counts.sum()
    return float(-np.sum(shares * np.log(shares)))
