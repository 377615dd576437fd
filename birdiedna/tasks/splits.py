"""Train, validation and test splits that keep related rows together.

`assign` assigns files to splits; `carve` splits rows that have no file. Rows are related if they
have the same sequence on either strand, if the coordinates in their names overlap or, without
coordinates, if they share a long stretch of bases, or a half of short rows.
"""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import scipy

from birdiedna import vocab
from birdiedna.data import intervals, words
from birdiedna.data.chromosomes import chromosome
from birdiedna.data.genome import HELD_OUT
from birdiedna.data.intervals import Intervals, covered, of_names, place
from birdiedna.data.labelled import Labelled, either_strand, sequences, take
from birdiedna.data.names import listed, quantity

#: Name of a row of a table with a column of chromosomes but without coordinates.
_CHROMOSOME = re.compile(r"([^:|\s]+):row \d+(?: .*)?")
#: Of the rows that are carved, and the multiples of it that a split by position has at least and
#: at most.
_SHARE, _LEAST, _MOST = 0.1, 0.5, 1.5
#: Without coordinates, rows are related if they share this many consecutive 31-mers, or a quarter
#: of a row's if that is less.
_WORDS = 35


def assign(rows: Mapping[str, Labelled]) -> tuple[Labelled, Labelled | None, Labelled, list[str]]:
    """Return train, validation (None if missing) and test rows, and remarks on how they were made.

    A validation split replaces a missing train or test split. A single split is split further:
    rows on chromosomes 20 to 22 become the test split, or else a tenth is carved. "rows" is one
    table of all rows. Raises ValueError unless both sides contain all classes.
    """
    if len(rows) == 1:
        ((part, only),) = rows.items()
        return _divided(part, only)
    parts, remarks = dict(rows), []
    for missing in {"train", "test"} - {*parts}:
        parts[missing] = parts.pop("validation")
        remarks.append(
            f"there is no {missing} split: {missing} rows come from the validation split"
        )
    found = chromosomes(parts["train"].names)
    if count := int(held_out(found).sum()) if found else 0:
        remarks.append(
            f"{quantity(count, 'train rows are')} on {', '.join(HELD_OUT)}, where other tasks are "
            "tested; the files decide this"
        )
    return parts["train"], parts.get("validation"), parts["test"], remarks


def _divided(part: str, rows: Labelled) -> tuple[Labelled, None, Labelled, list[str]]:
    source = "all rows come from " + ("one table" if part == "rows" else f"the {part} split")
    where = chromosomes(rows.names)
    mask = held_out(where) if where else np.zeros(len(rows.labels), bool)
    if not mask.any():
        train, test, how = carve(rows)
        return train, None, test, [f"{source}; {share(test, rows)} are test rows, {how}"]
    train, test = take(rows, ~mask), take(rows, mask)
    if {*train.labels} != {*test.labels}:
        raise ValueError(
            f"{source}; the {mask.sum():,} of {len(mask):,} rows on {', '.join(HELD_OUT)} are test "
            "rows, but a class is missing in them or in the rest; give train and test files"
        )
    names = ", ".join(sorted({name for name, held in zip(where, mask, strict=True) if held}))
    return train, None, test, [f"{source}; {share(test, rows)} are test rows, those on {names}"]


def share(part: Labelled, whole: Labelled) -> str:
    """Return how many of all rows are in a split, as text."""
    count, total = len(part.labels), len(whole.labels)
    return f"{count:,} of {total:,} ({count / total:.1%})"


def carve(rows: Labelled) -> tuple[Labelled, Labelled, str]:
    """Split rows in two, the second with about a tenth of them; also return how, as text.

    Whole chromosomes are held out if names contain several; else the block of the highest
    positions, cut where the fewest windows overlap; else (no coordinates, or a class would be
    missing) groups of related rows are drawn, a tenth of each class. Rows whose sequence, on either
    strand, is on both sides go to the first. The text counts related rows that could not be kept
    together. The same rows are always split alike. ValueError if no split has all classes on both
    sides without copies of a row on both.
    """
    every = {*rows.labels.tolist()}
    for mask, how in _divisions(rows):
        if {*rows.labels[mask].tolist()} == every == {*rows.labels[~mask].tolist()}:
            return take(rows, ~mask), take(rows, mask), how
    single = min(every, key=lambda label: len({*either_strand(take(rows, rows.labels == label))}))
    raise ValueError(
        f"{len(rows.labels):,} rows cannot be split with all classes but no sequence on both "
        f"sides: class {single} has too few different sequences; give more rows of it, or a file "
        "for each split"
    )


def _divisions(rows: Labelled) -> Iterator[tuple[np.ndarray, str]]:
    """Yield masks (n,) of the second split, best first, and how it was chosen."""
    rng, known = np.random.default_rng(0), dict[bytes, int]()
    copies = np.array([known.setdefault(key, len(known)) for key in either_strand(rows)])
    where, places = np.array(chromosomes(rows.names)), of_names(rows.names)
    by_place = []
    if len(where):
        mask = _by_chromosome(rng, where)
        by_place.append((mask, f"by chromosome ({listed([*np.unique(where[mask])], 30)})"))
    if places:
        by_place.append((_by_block(places), "a block of the highest positions"))
    by_place = [(mask, how) for mask, how in by_place if _fits(mask)]
    for mask, how in by_place:
        alone = mask & ~np.isin(copies, copies[~mask])
        if _fits(alone):
            yield alone, how + _remark(_overlaps(places, alone), "overlap")
    relatives, surely, perhaps = _relatives(rows, places)
    kin = _components(len(copies), relatives, (np.arange(len(copies)), copies))
    how = "the same share of each class, drawn at random" + ("" if len(where) else _unread(rows))
    together = f"; rows that {surely} stay together"
    yield _by_class(rng, rows.labels, kin), how + together * int(kin.max() < copies.max())
    apart = _by_class(rng, rows.labels, copies)
    yield apart, how + _remark(_related(relatives, apart), perhaps)
    for mask, how in by_place:
        yield mask, how + _remark(int(np.isin(copies[mask], copies[~mask]).sum()), "equal")


def _fits(mask: np.ndarray) -> bool:
    """Return whether a split has about a tenth of the rows."""
    return _LEAST * _SHARE <= mask.mean() <= _MOST * _SHARE


def _remark(count: int, relation: str) -> str:
    return f"; {count:,} of them {relation} rows of the rest" * bool(count)


def chromosomes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the chromosome of each row by its name (`chr3:100-400|1`), () if any has none."""
    found = [_contig(name) for name in names]
    return _usual(found) if all(found) else ()


def _contig(name: str) -> str:
    """Return the contig in the name of a row, "" if it has none."""
    if match := _CHROMOSOME.fullmatch(name):
        return match[1]
    return stated[0] if (stated := place(name)) else ""


def held_out(found: Sequence[str]) -> np.ndarray:
    """Return which rows (n,) are on chromosomes reserved for testing: chr20, chr21 and chr22."""
    return np.isin(np.array(_usual(found)), HELD_OUT)


def _usual(contigs: Sequence[str]) -> tuple[str, ...]:
    """Return the chromosome of each contig name, looked up once per unique name."""
    table = {name: chromosome(name) for name in {*contigs}}
    return tuple(table[name] for name in contigs)


def _unread(rows: Labelled) -> str:
    """Return a remark if some names have coordinates, or all look as if in an unknown format."""
    without = [name for name in rows.names if not _contig(name)]
    if count := len(rows.names) - len(without):
        return (
            f"; {quantity(count, f'of {len(rows.names):,} names have coordinates')}, which are not "
            f"used: {without[0][:40]!r} has none"
        )
    for name, length in zip(rows.names, rows.lengths.tolist(), strict=True):
        numbers = [int(text) for text in re.findall(r"\d{1,12}", name)]
        if not any(b - a in (length, length - 1) for a, b in zip(numbers, numbers[1:])):
            return ""
    return (
        f"; names such as {rows.names[0][:40]!r} look like coordinates and are not read as such: "
        "write chr1:100-300 to keep neighbours together"
    )


def _by_chromosome(rng: np.random.Generator, where: np.ndarray) -> np.ndarray:
    """Hold out whole chromosomes, in random order, up to about the share (at most 1.5 times)."""
    mask = np.zeros(len(where), bool)
    for name in rng.permutation(np.unique(where)):
        wider = mask | (where == name)
        if mask.mean() < _SHARE and wider.mean() <= _MOST * _SHARE:
            mask = wider
    return mask


def _line(places: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends (n,) on one axis, with the chromosomes one after another."""
    _, numbers = np.unique(_usual(places.contigs.tolist()), return_inverse=True)
    offsets = numbers * (int(places.ends.max()) + 1)
    return places.starts + offsets, places.ends + offsets


def _by_block(places: Intervals) -> np.ndarray:
    """Hold out about the last tenth by position, cut where the fewest windows overlap."""
    starts, ends = _line(places)
    count, order = len(starts), np.lexsort((ends, starts))
    ranks = np.arange(1, count)
    shares = (count - ranks) / count
    ranks = ranks[(shares >= _LEAST * _SHARE) & (shares <= _MOST * _SHARE)]
    mask = np.zeros(count, bool)
    if len(ranks):
        crossing = ranks - np.searchsorted(np.sort(ends), starts[order[ranks]], "right")
        far = np.abs(ranks - (1 - _SHARE) * count)
        mask[order[ranks[np.lexsort((far, crossing))[0]] :]] = True
    return mask


def _overlaps(places: Intervals | None, mask: np.ndarray) -> int:
    """Return how many windows of a split share a base with one of the rest."""
    if places is None:
        return 0
    usual = places._replace(contigs=np.array(_usual(places.contigs.tolist())))
    return int((covered(intervals.take(usual, mask), intervals.take(usual, ~mask)) > 0).sum())


#: Row numbers (m,) and keys (m,): rows with the same key are related.
Links = tuple[np.ndarray, np.ndarray]


def _relatives(rows: Labelled, places: Intervals | None) -> tuple[Links, str, str]:
    """Return which rows are related; in words, which rows are for sure, and how those found are."""
    if places is None:
        usual = int(np.median(rows.lengths))
        width = min(_WORDS, max(1, (usual - words.WORD) // 4))
        links, bases = words.stretches(rows.tokens, width), width + words.WORD - 1
        least, surely = words.WORD, f"share {bases} bases"
        if usual // 2 < bases:  # a letter that is changed in the middle leaves no stretch
            by_chance = math.ceil(math.log(len(rows.labels), 4)) + 3
            least, surely = min(least, by_chance), f"{surely} or a half"
            (found, keys), (more, halves) = links, _halves(rows, by_chance)
            links = np.append(found, more), np.append(keys, halves)
        return links, surely, f"share {least} bases or more with"
    starts, ends = _line(places)
    order = np.argsort(starts)
    apart = starts[order][1:] >= np.maximum.accumulate(ends[order])[:-1]
    return (order, np.cumsum(np.append(False, apart))), "overlap", "overlap"


def _halves(rows: Labelled, least: int) -> Links:
    """Return keys of the first and last `least` or more bases, a half, of rows without N there."""
    found: list[tuple[int, int]] = []
    both = zip(sequences(rows), sequences(rows, reverse_complement=True), strict=True)
    for row, (ahead, back) in enumerate(both):
        half = len(ahead) // 2
        ends = (ahead[:half], back[-half:]), (ahead[-half:], back[:half])
        for end in map(min, ends) if half >= least else ():
            if vocab.N not in end:
                key = hashlib.blake2b(end, digest_size=8).digest()
                found.append((row, int.from_bytes(key)))
    return np.array([r for r, _ in found], np.int64), np.array([k for _, k in found], np.uint64)


def _components(count: int, *links: Links) -> np.ndarray:
    """Return the group (n,) of each row: the connected components of related rows."""
    size, ends = count, []
    for _, keys in links:
        ends.append(size + np.unique(keys, return_inverse=True)[1])
        size += len(keys)
    pairs = np.concatenate([rows for rows, _ in links]), np.concatenate(ends)
    graph = scipy.sparse.coo_matrix((np.ones(len(pairs[0]), bool), pairs), (size, size))
    return np.unique(
        scipy.sparse.csgraph.connected_components(graph, False)[1][:count], return_inverse=True
    )[1]


def _related(links: Links, mask: np.ndarray) -> int:
    """Return how many rows of a split share a key with one of the rest."""
    inside = mask[links[0]]
    return len(np.unique(links[0][inside & np.isin(links[1], links[1][~inside])]))


def _by_class(rng: np.random.Generator, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Hold out a tenth of every class, at least one row, in whole groups of rows."""
    sizes = np.bincount(labels)
    quota = np.maximum(1, np.round(_SHARE * sizes)).astype(int)
    order = np.argsort(groups, kind="stable")
    begins = np.append(0, np.cumsum(np.bincount(groups)))
    mask, taken = np.zeros(len(labels), bool), np.zeros(len(sizes), int)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        spare: list[np.ndarray] = []
        for group in dict.fromkeys(groups[rows].tolist()):
            members = order[begins[group] : begins[group + 1]]
            if taken[label] >= quota[label]:
                break
            if mask[members[0]]:
                continue
            counts = np.bincount(labels[members], minlength=len(sizes))
            if (taken + counts <= np.ceil(_MOST * quota)).all():
                mask[members], taken = True, taken + counts
            else:
                spare.append(members)
        if not taken[label] and spare:
            members = min(spare, key=len)
            mask[members], taken = True, taken + np.bincount(labels[members], minlength=len(sizes))
    return mask
