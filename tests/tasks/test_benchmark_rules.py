"""The recipe's rules: what they mean on small sequences, and that they give the genuine rows.

Genuine rows come from the benchmark itself, and what is independent of us is said in each test.
"""

import bisect
import csv
import gzip
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_files import SHARED, needs_shared
from made_rows import revcomp

from birdiedna import vocab
from birdiedna.data import catalog, genome, intervals
from birdiedna.tasks import benchmark_rules as rules
from birdiedna.tasks.benchmark_rules import Gene
from scripts import make_sample

ROWS = SHARED / "tasks" / "nt_revised" / "train_sample.csv.gz"
dna = st.text("ACGT", min_size=1)


def letters(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


@settings(max_examples=50)
@given(st.data())
def test_grid_is_every_readable_multiple_of_1000_that_overlaps_no_element(data):
    text = bytearray(b"ACGT" * 2000)
    for at in data.draw(st.lists(st.integers(0, len(text) - 1), max_size=3)):
        text[at] = ord("N")
    spans = sorted(data.draw(st.lists(st.tuples(st.integers(0, 8500), st.integers(1, 2500)))))
    length = data.draw(st.sampled_from([300, 600, 1000, 1500]))
    expected = [
        start
        for start in range(0, len(text) - length + 1, 1000)
        if b"N" not in text[start : start + length]
        and all(first + size <= start or first >= start + length for first, size in spans)
    ]
    starts, lengths = (np.array([span[i] for span in spans], np.int64) for i in (0, 1))
    found = rules.grid(np.frombuffer(bytes(text), np.uint8), length, starts, lengths)
    assert found.tolist() == expected


@given(dna, st.integers(1, 50), dna, st.integers(1, 50), dna)
def test_boundaries_of_an_intron_have_its_letters_on_either_strand(left, a, middle, b, right):
    """An intron GT...AG between two exons, and the same gene on the other strand."""
    intron = "GT" + middle + "AG"
    exons = (len(left), len(left) + a), (len(left) + a + len(intron),) * 2
    exons = exons[0], (exons[1][0], exons[1][0] + b)
    text = left + "C" * a + intron + "C" * b + right
    size = len(text)
    forward = Gene("c", "+", exons[0][0], exons[1][1], exons)
    mirrored = tuple((size - end, size - start) for start, end in reversed(exons))
    reverse = Gene("c", "-", mirrored[0][0], mirrored[1][1], mirrored)
    for gene, whole in ((forward, text), (reverse, revcomp(text))):
        for site in ("donor", "acceptor"):
            (place,) = rules.boundaries(gene, site)
            window = ("T" * 300 + whole + "T" * 600)[place:][: rules.SPLICE_BASES]
            pair, index = rules.MARKS[site, gene.strand]
            assert window[300] == ("C" if gene.strand == "+" else "G")
            assert window[index:][:2] == pair


@given(dna, st.sampled_from([*rules.MARKS]), st.sets(st.integers(0, 30)))
def test_decoys_are_all_unannotated_bases_beside_the_two_letters(text, kind, annotated):
    pair, index = rules.MARKS[kind]
    first = (at for at in range(len(text)) if text[at:][:2] == pair)
    bases = (at + rules.BOUNDARY - index for at in first)
    expected = [base for base in bases if 0 <= base < len(text) and base not in annotated]
    site, strand = kind
    known = np.array(sorted(annotated), np.int64)
    genes = [Gene("c", strand, 0, len(text), ())]
    assert rules.decoys(letters(text), genes, strand, known, site).tolist() == expected


def test_decoy_windows_come_in_the_order_asked_for_and_never_twice():
    rng = np.random.default_rng(0)
    text = "".join(rng.choice([*"ACGT"], 20_000))
    wanted = [*rules.MARKS] * 25
    rng.shuffle(wanted)
    genes = [Gene("c", strand, 0, len(text), ()) for strand in "+-"]
    starts = rules.decoy_windows(letters(text), genes, wanted, np.array([]), "salt")
    assert len(set(starts.tolist())) == len(wanted)
    for start, (site, strand) in zip(starts, wanted, strict=True):
        pair, index = rules.MARKS[site, strand]
        assert text[start + index :][:2] == pair
    with pytest.raises(ValueError, match="salt/.: 10000 windows"):
        rules.decoy_windows(letters(text), genes, [("donor", "+")] * 10_000, np.array([]), "salt")


@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(0, 30), min_size=12))
def test_matching_takes_each_place_once_and_the_nearest_when_it_chooses(wanted, found):
    wanted, found = np.array(wanted, np.int64), np.array(found)
    chosen = rules.matched(wanted, found, "salt")
    assert len(set(chosen.tolist())) == len(wanted) == len(chosen)
    if len(wanted):
        first = np.argmax(np.abs(wanted - np.median(found)))
        assert abs(found[chosen[first]] - wanted[first]) == np.abs(found - wanted[first]).min()
    if set(wanted.tolist()) <= set(found.tolist()) and len(set(wanted.tolist())) == len(wanted):
        assert (found[chosen] == wanted).all()


def test_g_and_c_of_each_window_are_counted():
    assert rules.gc(letters("GCATNG"), np.array([0, 1, 2]), 3).tolist() == [2, 1, 0]


@given(st.lists(st.integers(0, 99)), st.integers(0, 5))
def test_draw_does_not_care_for_order_or_repeats(values, count):
    values = np.array(values, np.int64)
    assume(len(np.unique(values)) >= count)
    expected = rules.draw(np.unique(values), count, "salt").tolist()
    assert rules.draw(values[::-1], count, "salt").tolist() == expected
    assert rules.draw(np.sort(values), count, "salt").tolist() == expected
    assert sorted(rules.shuffled(values, "salt").tolist()) == sorted(values.tolist())


FORWARD = Gene("chrX", "+", 10, 60, ((10, 20), (30, 40), (50, 60)))
REVERSE = FORWARD._replace(strand="-")
#: The same introns, where exons touch, overlap, or lie in another.
TOUCHING = FORWARD._replace(exons=((10, 15), (15, 20), (30, 40), (32, 35), (50, 57), (55, 60)))
TABLE = "#NAME\tCHROM\tSTRAND\tTX_START\tTX_END\tEXON_START\tEXON_END\n" + "\n".join(
    ["A\tX\t-\t10\t60\t10,30,50,\t20,40,60,", "B\t20\t+\t5\t9\t5,\t9,"]
)


def test_annotation_lines_become_genes_of_the_asked_chromosome():
    assert make_sample.genes(TABLE, "chrX") == [REVERSE]
    assert make_sample.genes(TABLE, "chr20") == [Gene("chr20", "+", 5, 9, ((5, 9),))]


@pytest.mark.parametrize(
    ("gene", "donors", "acceptors", "start", "window"),
    [
        (FORWARD, [19, 39], [30, 50], 10, -39),
        (REVERSE, [30, 50], [19, 39], 59, 49),
        (TOUCHING, [19, 39], [30, 50], 10, -39),
        (TOUCHING._replace(strand="-"), [30, 50], [19, 39], 59, 49),
    ],
)
def test_boundaries_and_starts_follow_the_strand(gene, donors, acceptors, start, window):
    assert rules.boundaries(gene, "donor") == donors
    assert rules.boundaries(gene, "acceptor") == acceptors
    assert make_sample.start_site(gene) == (start, gene.strand)
    assert rules.promoter_window(*make_sample.start_site(gene)) == window


@pytest.mark.parametrize(
    ("box", "upstream", "expected"),
    [
        ("TATAAAA", 30, True),
        ("TATATAT", 40, True),
        ("TATAAAA", 20, True),
        ("TATAGAA", 30, True),
        ("TGTAGAA", 30, False),
        ("TATAAAA", 43, False),
        ("TATAAAA", 17, False),
    ],
)
def test_tata_is_a_match_at_the_expected_distance_on_either_strand(box, upstream, expected):
    text = "C" * (60 - upstream) + box + "C" * 60
    reverse = letters(revcomp(text))
    assert make_sample.has_tata(letters(text), 60, "+") == expected
    assert make_sample.has_tata(reverse, len(text) - 61, "-") == expected


def test_draw_differs_by_salt_and_refuses_too_many():
    values = np.arange(1000)
    first = rules.draw(values, 10, "one")
    assert first.tolist() != rules.draw(values, 10, "two").tolist()
    with pytest.raises(ValueError, match="1001 windows .*, 1000 exist"):
        rules.draw(values, 1001, "one")


# --- genuine rows ---------------------------------------------------------------------------


class Row(NamedTuple):
    """A row and the coordinates in its name."""

    sequence: str
    chromosome: str
    start: int
    end: int
    label: int
    task: str

    @property
    def site(self) -> str:
        """donor or acceptor for the positive rows of splice tasks, else ""."""
        if not self.task.startswith("splice") or not self.label:
            return ""
        of_all = {1: "acceptor", 2: "donor"}[self.label]
        return of_all if self.task.endswith("all") else self.task.split("_")[-1][:-1]


def read(path: Path) -> list[Row]:
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        place = re.fullmatch(r"(\w+):(\d+)-(\d+)\|(\d)", row["name"])
        chromosome, start, end, label = place.groups()
        assert label == row["label"]
        task = row.get("task") or path.name.split(".")[0]
        found.append(Row(row["sequence"], chromosome, int(start), int(end), int(label), task))
    return found


@pytest.fixture(scope="module")
def genuine() -> list[Row]:
    return read(ROWS)


@pytest.fixture(scope="module")
def human() -> dict[str, np.ndarray]:
    """GRCh37: chrX to base 69,999,930, and chr20."""
    files = {n: next(SHARED.glob(f"genomes/human.GRCh37.{n}*.fa.gz")) for n in ("chrX", "chr20")}
    return {name: make_sample.sequence(path.read_bytes()) for name, path in files.items()}


@pytest.fixture(scope="module")
def grch37(human) -> genome.Genome:
    text = vocab.encode(b"".join(part.tobytes() for part in human.values()))
    return genome.assemble(text, [(name, len(part)) for name, part in human.items()], "GRCh37")


@needs_shared
def test_all_1500_genuine_rows_have_the_length_and_letters_of_their_task(genuine):
    lengths = {rows.task: rows.length for rows in catalog.named("nt_revised").rows}
    assert len(genuine) == 1500
    for row in genuine:
        assert len(row.sequence) == row.end - row.start == lengths[row.task]
        assert set(row.sequence) <= set("ACGT")


@needs_shared
def test_all_500_genuine_negatives_and_no_positive_but_by_chance_start_on_the_grid(genuine):
    on_grid = [row.label > 0 for row in genuine if row.start % rules.GRID == 0]
    assert [row.label for row in genuine].count(0) == on_grid.count(False) == 500
    assert on_grid.count(True) == 2  # of 1,000


@needs_shared
def test_all_557_genuine_splice_positives_have_their_letters_where_the_recipe_puts_them(genuine):
    """Donors GT 497 of 501, the other 4 GC; acceptors AG 56 of 56; on either strand."""
    counts = {"donor": 0, "acceptor": 0, "GC": 0, "all": 0}
    for row in genuine:
        if row.site:
            counts["all"] += 1
            places = [rules.MARKS[row.site, strand] for strand in "+-"]
            found = [row.sequence[index:][:2] for _, index in places]
            fits = any(word == pair for word, (pair, _) in zip(found, places))
            counts[row.site] += fits
            counts["GC"] += not fits and found.count("GC") == 1
    assert counts == {"donor": 497, "acceptor": 56, "GC": 4, "all": 557}


@needs_shared
def test_a_peak_of_encode_gives_the_window_of_a_genuine_row(genuine):
    """Independent: the H3K9ac peak chr1 158739847 158740554 of ENCFF891CHI (K562, GRCh38)."""
    start = 158_739_847 - rules.PEAK_LEAD
    expected = ("chr1", start, start + rules.PEAK_BASES, 1, "H3K9ac")
    assert expected in [row[1:] for row in genuine]


@needs_shared
@pytest.mark.parametrize("name", ["splice_sites_donors", "splice_sites_acceptors", "H3K4me1"])
def test_every_rebuilt_row_with_a_grch37_name_is_cut_byte_for_byte(name, grch37):
    """39,586 rows rebuilt independently of this code from the same rules."""
    rows = read(SHARED / f"tasks/nt_recipe/{name}.csv.gz")
    columns = ([row[i] for row in rows] for i in (1, 2, 3))
    places = intervals.Intervals(*map(np.array, columns), np.full(len(rows), "+"))
    assert intervals.sequences(grch37, places) == [row.sequence for row in rows]
    assert all(row.label or row.start % rules.GRID == 0 for row in rows)


def find(text: bytes, row: Row, near: int) -> int:
    """Return the start of a row's sequence in a chromosome, -1 if not within 3 Mb of `near`."""
    sequence = row.sequence.encode()
    close = text.find(sequence, max(0, near - 400), near + 1400)
    return close if close >= 0 else text.find(sequence, max(0, near - 3 * 10**6), near + 3 * 10**6)


@pytest.fixture(scope="module")
def on_x(genuine, human) -> list[tuple[Row, int]]:
    """Genuine chrX rows whose bases occur in GRCh37 within 3 Mb of their name, and where."""
    text = human["chrX"].tobytes()
    rows = [row for row in genuine if row.chromosome == "chrX" and row.start < 72_000_000]
    places = [(row, find(text, row, row.start)) for row in rows]
    return [(row, place) for row, place in places if place >= 0]


def anchors() -> list[Row]:
    """chrX rows of other files with GRCh38 names, which give the local shift to GRCh37."""
    files = ("promoter_all", "H3K27me3", "H2AFZ", "H3K27ac", "H3K36me3", "H3K9ac", "H3K4me3")
    rows = [row for name in files for row in read(SHARED / f"tasks/nt_recipe/{name}.csv.gz")]
    return sorted((row for row in rows if row.chromosome == "chrX"), key=lambda row: row.start)


@needs_shared
def test_20_of_22_genuine_rows_on_chrX_are_where_the_rows_of_another_file_predict(on_x, human):
    """Independent: the shift between assemblies comes from rebuilt rows left and right of each.

    The two others lie beside small insertions, where the neighbours on GRCh37 are shifted by
    1 and by 82 bases more.
    """
    assert len(on_x) == 22
    text, others = human["chrX"].tobytes(), anchors()
    starts, shift, predicted = [row.start for row in others], 0, 0
    for row, _ in on_x:
        left, right = bisect.bisect_left(starts, row.start), bisect.bisect(starts, row.start)
        fits = False
        for near in (others[left - 1], others[right]):
            place = find(text, near, near.start + shift)
            shift = place - near.start
            start = row.start + shift
            window = text[start : start + len(row.sequence)].decode()
            fits |= place >= 0 and window == row.sequence
        predicted += fits
    assert predicted == 20


@pytest.fixture(scope="module")
def annotation() -> str:
    """GENCODE transcripts of GRCh37 in SpliceAI's table, an archive of the sample's sources."""
    wheel = next(source for source in make_sample.SOURCES if source.archive.endswith(".whl"))
    path = make_sample.CACHE / wheel.archive
    if not path.exists():
        pytest.skip(f"{path.name} is not in the sample's cache: the sample was not built here")
    return make_sample.unpack(wheel, path.read_bytes())["genes"].decode()


@needs_shared
def test_7_of_10_genuine_splice_rows_on_chrX_are_cut_at_annotated_exon_boundaries(
    on_x, human, annotation
):
    """Independent: exons of GENCODE (GRCh37), one transcript a gene; the 3 others are on none."""
    genes = make_sample.genes(annotation, "chrX")
    windows = {
        (site, place - rules.BOUNDARY)
        for gene in genes
        for site in ("donor", "acceptor")
        for place in rules.boundaries(gene, site)
    }
    rows = [(row, place) for row, place in on_x if row.site]
    cut = [row for row, place in rows if (row.site, place) in windows]
    for row in cut:
        starts = [start for site, start in windows if site == row.site]
        texts = {human["chrX"][start : start + 600].tobytes().decode() for start in starts}
        assert row.sequence in texts
    assert (len(rows), len(cut)) == (10, 7)
