"""Tasks are built from a genome and coordinates by the rules: atomic, balanced, repeatable."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import compress, written

from birdiedna import tasks
from birdiedna.data import genome, intervals
from birdiedna.data.labelled import Labelled
from birdiedna.tasks import build, elements
from birdiedna.tasks.benchmark_rules import Gene
from birdiedna.tasks.build import Plan

TRAIN, TEST, SIZE = "chr1", "chr20", 200_000
KINDS = ("peaks", "starts", "bed", "donors", "acceptors", "all")
Row = tuple[str, int, int, int, str]


def made_up() -> dict[str, str]:
    """Two random chromosomes that contain N, and one without elements."""
    rng = np.random.default_rng(5)
    letters = {name: rng.choice([*"ACGT"], SIZE, p=[0.3, 0.2, 0.2, 0.3]) for name in (TRAIN, TEST)}
    for text in letters.values():
        text[:500] = text[90_400:90_700] = "N"
        for start in range(4000, SIZE - 4000, 9000):
            text[start : start + 1000] = rng.choice([*"ACGT"], 1000, p=[0.2, 0.3, 0.3, 0.2])
    return {name: "".join(text) for name, text in letters.items()} | {"chr7": "ACGT" * 500}


TEXTS = made_up()
GENOME = genome.from_sequences(TEXTS, "made_up.fa")


def lines(rows: list[tuple], mark: str = "\t") -> str:
    return "".join(mark.join(map(str, row)) + "\n" for row in rows)


def listed(values: list[int]) -> str:
    return "".join(f"{value}," for value in values)


def peaks_of(folder: Path, rows: list[tuple]) -> elements.Elements:
    return elements.peaks(written(folder, lines(rows)))


def sites_of(folder: Path, rows: list[tuple], which: str) -> elements.Elements:
    """Splice sites at these bases, in transcripts as long as their chromosomes."""
    contigs, bases, strands, kinds = map(np.array, zip(*rows))
    genes = [Gene(name, strand, 0, SIZE, ()) for name in (TRAIN, TEST) for strand in "+-"]
    found = intervals.Intervals(contigs, bases, bases + 1, strands), kinds, tuple(genes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(elements, "boundaries", lambda _: found)
        return elements.exons(written(folder, lines(rows), "genes.gtf"), which)


def scattered(count: int, size: int, seed: int = 0) -> list[tuple]:
    """BED6 rows on both chromosomes, half of them on each strand."""
    rng = np.random.default_rng(seed)
    return [
        (name, start, start + size, f"e{start}", 0, "+-"[i % 2])
        for name in (TRAIN, TEST)
        for i, start in enumerate(rng.choice(np.arange(2000, SIZE - 2000), count, False).tolist())
    ]


def rows_of(part: Labelled) -> list[Row]:
    """(contig, start, end, label, sequence) of each row."""
    letters = intervals.letters(part.tokens)
    found = []
    for name, bases, label in zip(part.names, letters, part.labels.tolist(), strict=True):
        contig, start, end, word = re.split("[:|-]", name)
        assert int(word) == label
        found.append((contig, int(start), int(end), label, bases.tobytes().decode()))
    return found


def read(folder: Path, name: str) -> dict[str, list[Row]]:
    """The rows of each split of a task on disk."""
    task = tasks.read(tasks.find(folder, name))
    return {split: rows_of(part) for split, part in task.parts().items()}


def positives(found: dict[str, Labelled]) -> int:
    return sum(int((part.labels > 0).sum()) for part in found.values())


@pytest.fixture
def chosen(tmp_path, request) -> elements.Elements:
    """Elements of the test's kind, about 60 on each chromosome."""
    if request.param in elements.SITES:
        sites = [
            (name, start, strand, "donor" if i % 4 < 2 else "acceptor")
            for i, (name, start, _, _, _, strand) in enumerate(scattered(60, 1, 1))
        ]
        return sites_of(tmp_path, sites, request.param)
    readers = {"peaks": elements.peaks, "starts": elements.starts}
    readers["bed"] = lambda path: elements.stretches(path, 401)
    return readers[request.param](written(tmp_path, lines(scattered(60, 400))))


def kind(*names: str):
    return pytest.mark.parametrize("chosen", names, indirect=True)


@kind(*KINDS)
def test_rows_are_genome_windows_balanced_on_every_contig_and_split_by_chromosome(tmp_path, chosen):
    build.build(GENOME, chosen, "mine", tmp_path / "out", decoys=True)
    assert tasks.names(tmp_path / "out") == ["mine", "mine_decoy"]
    plain, decoy = (read(tmp_path / "out", name) for name in ("mine", "mine_decoy"))
    for split, name in (("train", TRAIN), ("test", TEST)):
        for rows in (plain[split], decoy[split]):
            labels = [row[3] for row in rows]
            classes = max(1, len(chosen.sites)) + 1
            assert {row[0] for row in rows} == {name}
            assert len({labels.count(label) for label in range(classes)}) == 1
            assert len(labels) == classes * labels.count(0) > 0
            assert len({row[1] for row in rows}) == len(labels)
            for contig, start, end, _, sequence in rows:
                assert TEXTS[contig][start:end] == sequence and len(sequence) == chosen.length
                assert set(sequence) <= set("ACGT")
        assert {r for r in plain[split] if r[3]} == {r for r in decoy[split] if r[3]}
        assert {r for r in plain[split] if not r[3]} != {r for r in decoy[split] if not r[3]}


@kind(*KINDS)
def test_positives_are_windows_of_elements_and_plain_negatives_overlap_none(chosen):
    windows = set(zip(chosen.windows.contigs, chosen.windows.starts, chosen.labels))
    spans = [chosen.found] if chosen.sites else [chosen.found, chosen.windows]
    taken = {name: np.zeros(SIZE + 2000, bool) for name in (TRAIN, TEST)}
    for span in spans:
        for contig, start, end, _ in zip(*span):
            taken[contig][max(0, start) : end] = True
    for part in build.rows(GENOME, chosen, "mine")[0].values():
        for contig, start, end, label, _ in rows_of(part):
            assert (label, start % 1000) == (0, 0) or (contig, start, label) in windows
            assert label or not taken[contig][start:end].any()


@kind("all")
def test_the_same_input_gives_the_same_bytes_and_another_seed_or_name_others(tmp_path, chosen):
    def content(out: str, name: str = "mine", seed: int = 0) -> bytes:
        build.build(GENOME, chosen, name, tmp_path / out, Plan(seed=seed), decoys=True)
        return b"".join(path.read_bytes() for path in sorted((tmp_path / out).glob("*/*.fna")))

    first = content("a")
    assert first == content("b")
    assert len({first, content("c", seed=1), content("d", "other")}) == 3


@kind("donors")
def test_splice_decoys_hold_the_two_letters_on_as_many_strands_as_the_positives(chosen):
    windows = zip(*chosen.windows[:2], chosen.windows.strands)
    plus = {(contig, start) for contig, start, strand in windows if strand == "+"}
    known = set(zip(chosen.found.contigs.tolist(), chosen.found.starts.tolist()))
    for part in build.rows(GENOME, chosen, "mine", decoy=True)[0].values():
        rows = rows_of(part)
        negatives = [row for row in rows if not row[3]]
        assert not known & {(row[0], row[1] + 300) for row in negatives}
        either = [(row[4][301:303] == "GT", row[4][298:300] == "AC") for row in negatives]
        assert all(any(pair) for pair in either)
        forward = sum((row[0], row[1]) in plus for row in rows if row[3])
        only = [pair for pair in either if pair[0] != pair[1]]
        certain = sum(pair[0] for pair in only)
        assert certain <= forward <= certain + len(either) - len(only)


def test_splice_decoys_are_in_transcripts_of_their_strand(tmp_path):
    genes = [
        ("g", name, strand, start, start + 9000, listed([start, start + 8000]))
        + (listed([start + 500, start + 9000]),)
        for name, first in (("1", 20_000), ("20", 60_000))
        for strand, start in (("+", first), ("-", first + 20_000))
    ]
    chosen = elements.exons(written(tmp_path, "#NAME\n" + lines(genes), "genes.txt"))
    for part in build.rows(GENOME, chosen, "mine", decoy=True)[0].values():
        for contig, start, _, label, sequence in rows_of(part):
            base = start + 300 - 40_000 * (contig == TEST)
            forward = sequence[301:303] == "GT" and 20_000 <= base < 29_000
            reverse = sequence[298:300] == "AC" and 40_000 <= base < 49_000
            assert label or forward or reverse


def test_decoys_of_other_elements_have_the_gc_content_of_the_positives(tmp_path):
    rich = [(n, s, s + 300) for n in (TRAIN, TEST) for s in range(4200, SIZE - 4000, 18_000)]
    records = build.build(GENOME, peaks_of(tmp_path, rich), "mine", tmp_path / "out", decoys=True)
    for split in ("train", "test"):
        plain, decoy = (records[name]["splits"][split]["gc"] for name in ("mine", "mine_decoy"))
        assert plain["1"] == decoy["1"] and plain["1"] - plain["0"] > 0.05
        assert abs(decoy["1"] - decoy["0"]) < 0.5 * (plain["1"] - plain["0"])


def test_provenance_names_inputs_rules_and_counts(tmp_path):
    chosen = peaks_of(tmp_path, scattered(40, 400) + [(TRAIN, 5000, 6001, "long", 0, "+")])
    build.build(GENOME, chosen, "mine", tmp_path / "out")
    record = json.loads((tmp_path / "out/mine/PROVENANCE.json").read_text())
    digest = hashlib.sha256(chosen.path.read_bytes()).hexdigest()
    assert record["inputs"] == {
        "elements": {"name": "given", "sha256": digest},
        "genome": {"name": "made_up.fa", "sha256_of_bases": GENOME.fingerprint},
    }
    assert "1,000 bases from the base before the peak" in record["rules"]["positives"]
    assert "chr20, chr21, chr22" in record["rules"]["split"]
    assert record["dropped"]["peak of more than 1,000 bases"] == 1 and record["elements"] == 81
    for split, rows in read(tmp_path / "out", "mine").items():
        counts = record["splits"][split]
        assert counts["rows"] == len(rows) == sum(counts["labels"].values())
        assert counts["contigs"] == {rows[0][0]: len(rows)}
        text = "".join(row[4] for row in rows if row[3])
        share = (text.count("G") + text.count("C")) / len(text)
        assert counts["gc"]["1"] == pytest.approx(share, abs=1e-4)
    said = build.summary(record)
    assert "left out 1 of 81: peak of more than 1,000 bases" in said and "train" in said


@kind("donors")
def test_provenance_counts_only_the_sites_that_the_task_is_about(tmp_path, chosen):
    record = build.build(GENOME, chosen, "mine", tmp_path / "out")["mine"]
    assert record["elements"] == len(chosen.labels) < len(chosen.found.starts)
    rows = sum(counts["labels"]["1"] for counts in record["splits"].values())
    assert rows + sum(record["dropped"].values()) == record["elements"]


def test_every_element_is_a_row_or_is_counted_as_left_out(tmp_path):
    rows = [
        (TRAIN, 3000, 3100, "a", 0, "+"),
        (TRAIN, 3000, 3200, "same window", 0, "+"),
        (TRAIN, 0, 9, "leaves the contig", 0, "+"),
        (TRAIN, 90_450, 90_500, "N", 0, "+"),
        (TRAIN, 199_900, 200_000, "leaves at the end", 0, "-"),
        (TEST, 3000, 3100, "b", 0, "+"),
        ("chr9", 10, 20, "no such contig", 0, "+"),
    ]
    chosen = peaks_of(tmp_path, rows)
    with pytest.raises(ValueError, match="given: 1 of 7 rows .*chr9:10-20.* --skip-missing"):
        build.rows(GENOME, chosen, "mine")
    found, dropped = build.rows(GENOME, chosen, "mine", Plan(skip_missing=True))
    assert dropped == {
        "on a contig that the genome lacks": 1,
        "same window as another": 1,
        "window holds N": 1,
        "window leaves the contig": 2,
    }
    assert positives(found) + 5 == len(rows)


def test_each_contig_looks_at_its_own_elements_only(tmp_path, monkeypatch):
    rows, looked, begin = scattered(60, 400), [], build._begin_in
    watched = lambda starts, *place: looked.extend(starts) or begin(starts, *place)
    monkeypatch.setattr(build, "_begin_in", watched)
    build.rows(GENOME, peaks_of(tmp_path, rows), "m")
    assert len(looked) == len(rows)


def test_positives_without_a_negative_to_go_with_them_are_counted(tmp_path):
    crowd = [(TRAIN, start, start + 900) for start in range(1000, 190_000, 950)]
    found, dropped = build.rows(GENOME, peaks_of(tmp_path, [*crowd, (TEST, 3000, 3100)]), "mine")
    negative, kept = np.bincount(found["train"].labels)
    assert 0 < kept < 20 and negative == kept
    usable = len(crowd) - dropped.get("window holds N", 0)
    assert dropped["no row of another class to go with it"] + kept == usable


def test_a_base_that_is_donor_and_acceptor_gives_no_row(tmp_path):
    sites = [(5000, "+", "donor"), (5000, "-", "acceptor"), (9000, "+", "donor")]
    sites += [(9500, "+", "acceptor")]
    chosen = sites_of(tmp_path, [(n, *site) for n in (TRAIN, TEST) for site in sites], "all")
    found, dropped = build.rows(GENOME, chosen, "mine")
    assert dropped == {"same window in two classes": 4}
    assert sorted(found["train"].labels.tolist()) == [0, 1, 2]


@kind("peaks", "all")
def test_a_limit_of_rows_keeps_classes_balanced_and_counts_the_rest(chosen):
    everything, _ = build.rows(GENOME, chosen, "mine")
    found, dropped = build.rows(GENOME, chosen, "mine", Plan(most=20))
    classes = len(chosen.sites) + 1 if chosen.sites else 2
    for split, part in found.items():
        assert set(np.bincount(part.labels).tolist()) == {20 // classes}
        assert {*rows_of(part)} <= {*rows_of(everything[split])}
    assert dropped["over the limit of rows"] == positives(everything) - positives(found)


@kind("peaks")
def test_held_out_chromosomes_are_the_test_rows_and_may_be_chosen(chosen):
    for held in (("chr1",), ("1", "chr21")):
        found, _ = build.rows(GENOME, chosen, "mine", Plan(held_out=held))
        assert {row[0] for row in rows_of(found["test"])} == {TRAIN}
        assert {row[0] for row in rows_of(found["train"])} == {TEST}
    for held, message in (
        ("chr7", "no test rows: .*chr7.* on chr1, chr20; .* --held-out chr20"),
        ("chr1:1-600", "no test rows: "),
        ("foo", "held-out 'foo' .* no contig 'foo'"),
        ("chr1:1-900000", "chr1:1-900000 is not a part of chr1 .* 200,000 bases"),
    ):
        with pytest.raises(ValueError, match=message):
            build.rows(GENOME, chosen, "mine", Plan(held_out=(held,)))


def test_the_remedy_for_elements_on_one_contig_is_a_part_of_it(tmp_path):
    chosen = peaks_of(tmp_path, [(TRAIN, at, at + 300) for at in range(9000, 199000, 9000)])
    with pytest.raises(ValueError, match=r"as with --held-out chr1:180001-200000") as refused:
        build.rows(GENOME, chosen, "mine", Plan(held_out=("chr20",)))
    part = re.search(r"--held-out (\S+)", str(refused.value))[1]
    found, _ = build.rows(GENOME, chosen, "mine", Plan(held_out=(part,)))
    assert all(len(found[split].labels) for split in ("train", "test"))


@kind("peaks", "donors")
@pytest.mark.parametrize("decoy", [False, True])
def test_a_part_of_a_contig_may_be_the_test_rows(chosen, decoy):
    held = ("chr1:60001-120000", "20:150001-200000")
    found, dropped = build.rows(GENOME, chosen, "mine", Plan(held_out=held), decoy)
    spans = {TRAIN: (60_000, 120_000), TEST: (150_000, 200_000)}
    for split, part in found.items():
        labels = part.labels.tolist()
        assert labels.count(0) == labels.count(1) > 10
        for contig, start, end, _, sequence in rows_of(part):
            first, stop = spans[contig]
            inside = first <= start and end <= stop
            assert inside if split == "test" else end <= first or start >= stop
            assert TEXTS[contig][start:end] == sequence
    edge = "window crosses the edge of a held-out part"
    assert positives(found) + sum(dropped.values()) == len(chosen.labels)
    windows = zip(chosen.windows.contigs, chosen.windows.starts, chosen.windows.ends)
    crossing = [1 for c, a, b in windows if any(a < edge < b < SIZE for edge in spans[c])]
    assert dropped.get(edge, 0) <= len(crossing)


def test_names_of_chromosomes_may_differ_between_genome_and_elements(tmp_path):
    rows = scattered(30, 400)
    plain, _ = build.rows(GENOME, peaks_of(tmp_path, rows), "m")
    rows = [(name.removeprefix("chr"), *rest) for name, *rest in rows]
    other, _ = build.rows(GENOME, peaks_of(tmp_path, rows), "m")
    assert all(plain[split].names == other[split].names for split in ("train", "test"))


@kind("peaks")
@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 300, "a\0b"])
def test_task_names_that_are_no_plain_names_are_refused(tmp_path, chosen, name):
    with pytest.raises(ValueError, match="task name .* letters, digits"):
        build.build(GENOME, chosen, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@kind("peaks")
def test_nothing_is_overwritten_and_a_failure_leaves_nothing_behind(tmp_path, chosen, monkeypatch):
    build.build(GENOME, chosen, "mine_decoy", tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="mine_decoy exists; delete it"):
        build.build(GENOME, chosen, "mine", tmp_path / "out", decoys=True)
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build.build(GENOME, chosen, "other", tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_builds_a_task_and_says_what_is_in_it_and_what_is_not(
    tmp_path, said, refused, monkeypatch
):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))
    fasta = written(tmp_path, "".join(f">{name}\n{TEXTS[name]}\n" for name in TEXTS), "my.fa")
    rows = [*scattered(30, 400), (TRAIN, 5000, 6001, "long", 0, "+")]
    bed, out = str(written(tmp_path, lines(rows))), tmp_path / "out"
    command = f"data build --genome {fasta} --out {out} --task mine".split()
    told = said(*command, "--peaks", bed, "--decoys", "--rows", "20")
    assert "left out 1 of 61: peak of more than 1,000 bases" in told
    assert "over the limit of rows" in told and f"--tasks {out} --task mine" in told
    assert "pretrain.held_out" not in told  # the usual chromosomes are never pre-trained on
    part = f"{TRAIN}:1-90000"
    words = [*command[:-3], tmp_path / "there", "--task", "mine", "--peaks", bed]
    assert f"--set pretrain.held_out={part}\n" in said(*words, "--held-out", part)
    assert tasks.names(out) == ["mine", "mine_decoy"]
    assert [len(rows) for rows in read(out, "mine").values()] == [20, 20]
    for wrong, message in (
        (("--bed", bed), "--bed needs --length"),
        (("--peaks", bed, "--length", "5"), "--length needs --bed"),
        (("--bed", bed, "--length", "5", "--sites", "all"), "--sites needs --exons"),
        (("--tss", bed), "mine exists; delete it"),
        (("--peaks", bed, "--rows", "1"), "rows 1 leaves no train rows"),
        (("--bed", bed, "--length", "900000"), f"{bed}: none of its elements gives"),
        (("--peaks", bed, "--held-out", ","), "--held-out has no value"),
    ):
        name = "mine" if "mine" in message else "b"
        assert message in refused(*command[:-1], name, *wrong)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from([TRAIN, TEST]), st.integers(0, SIZE - 1), st.integers(1, 3000)),
        min_size=1,
    ),
    st.integers(1, 1200),
)
def test_every_interval_is_a_row_or_counted_whatever_the_file(tmp_path, rows, length):
    rows = [(name, start, min(SIZE, start + size)) for name, start, size in rows]
    rows += [(TRAIN, 60_000, 60_010), (TEST, 60_000, 60_010)]
    chosen = elements.stretches(written(tmp_path, lines(rows)), length)
    found, dropped = build.rows(GENOME, chosen, "mine")
    assert positives(found) + sum(dropped.values()) == len(rows)
    for part in found.values():
        assert all({*row[4]} <= {*"ACGT"} and len(row[4]) == length for row in rows_of(part))
        assert np.bincount(part.labels).tolist() == [len(part.labels) // 2] * 2


# --- files of elements ----------------------------------------------------------------------

EXONS = [("t1", "chr1", "+", ((1000, 1100), (2000, 2200), (3000, 3050)))]
EXONS += [("t2", "chr20", "-", ((5000, 5100), (6000, 6001))), ("t3", "chr1", "-", ((10, 90),))]
GENES = [("chr1", "+", 1000, 3050), ("chr20", "-", 5000, 6001), ("chr1", "-", 10, 90)]
BOUNDARIES = {
    ("chr1", 1099, "+", "donor"),
    ("chr1", 2199, "+", "donor"),
    ("chr1", 2000, "+", "acceptor"),
    ("chr1", 3000, "+", "acceptor"),
    ("chr20", 6000, "-", "donor"),
    ("chr20", 5099, "-", "acceptor"),
}


def annotation(form: str) -> bytes:
    """The same transcripts in each format; GTF and GFF3 also have other lines, out of order."""
    rows: list[tuple] = []
    for name, contig, strand, exons in EXONS:
        starts, ends = [start for start, _ in exons], [end for _, end in exons]
        first, last = starts[0], ends[-1]
        if form == "bed12":
            sizes, offsets = listed([e - s for s, e in exons]), listed([s - first for s in starts])
            thick = (first, first, 0, len(exons))
            rows.append((contig, first, last, name, 0, strand, *thick, sizes, offsets))
        elif form == "table":
            rows.append((name, contig[3:], strand, first, last, listed(starts), listed(ends)))
        else:
            gtf = form == "gtf"
            tag = f'gene_id "g"; transcript_id "{name}";' if gtf else f"ID=e;Parent={name}"
            spans = [("transcript", first, last), *(("exon", *exon) for exon in exons[::-1])]
            rows += [(contig, "x", k, s + 1, e, ".", strand, ".", tag) for k, s, e in spans]
    end = b"##FASTA\n>chr1\nACGT\n" if form == "gff3" else b""
    return compress(b"#comment\n" + lines(rows).encode() + end)


@pytest.mark.parametrize("form", ["gtf", "gff3", "bed12", "table"])
def test_boundaries_are_the_same_from_every_annotation_format_and_each_once(tmp_path, form):
    found, kinds, genes = elements.boundaries(written(tmp_path, annotation(form), "genes"))
    columns = (found.contigs, found.starts, found.strands, kinds)
    assert set(zip(*(column.tolist() for column in columns))) == BOUNDARIES
    assert len(kinds) == 6 and (found.ends - found.starts == 1).all()
    assert [gene[:4] for gene in genes] == GENES


def test_an_exon_of_gff3_belongs_to_every_transcript_it_lists(tmp_path):
    exons = ((100, 200, "a,b"), (300, 400, "a"), (500, 600, "b,a"))
    rows = [("c", "x", "exon", s + 1, e, ".", "+", ".", f"Parent={names}") for s, e, names in exons]
    _, _, genes = elements.boundaries(written(tmp_path, lines(rows).encode(), "genes"))
    first, middle, last = (exon[:2] for exon in exons)
    assert [gene.exons for gene in genes] == [(first, middle, last), (first, last)]


BAD = {
    elements.exons: [
        ("", "the file is empty"),
        ("<html>", "a web page"),
        ("#only comments\n", "contains only remarks"),
        ("chr1\t5\t9\n", r"line 1: 'chr1\\t5\\t9' is not a line of GTF"),
        ('chr1\tx\texon\t5\tb\t.\t+\t.\ttranscript_id "t"\n', "line 1: .* has no valid exon"),
        ('chr1\tx\texon\t9\t5\t.\t+\t.\ttranscript_id "t"\n', "line 1: .* has no valid exon"),
        ('chr1\tx\texon\t5\t9\t.\t.\t.\ttranscript_id "t"\n', "line 1: .* has no valid exon"),
        ("chr1\tx\texon\t5\t9\t.\t+\t.\tgene_id 1\n", "line 1: .* or no transcript_id or Parent"),
        ('chr1\tx\texon\t5\t9\t.\t+\t.\ttranscript_id "t"\n', "boundary; it needs transcripts"),
        ("chr1\tx\tCDS\t5\t9\t.\t+\t0\tID=t\n", "; it needs lines of the feature `exon`"),
        ("#\na\t1\t+\t5\t9\t5,7,\t9,\n", "line 2: .* has no valid exon"),
        ("contig,position,strand,site\nchr1,1,+,donor\n", "line 1: .* is not a line of GTF"),
        (annotation("gtf")[:-9], "cut short"),
    ],
    elements.starts: [
        ("chr1\t5\t9\n", r"1 of 1 starts has no strand \(first: row 1\)"),
        ("chr1\t5\t9\tn\t0\t+\nchr1\t5\t9\tn\t0\t.\n", r"1 of 2 starts .*row 2"),
        ("contig,position,strand\nchr1,5,+\n", "line 1: 1 columns; BED needs 3 or more"),
    ],
}


@pytest.mark.parametrize(
    ("read", "text", "message"), [(read, *bad) for read, table in BAD.items() for bad in table]
)
def test_bad_annotations_and_starts_are_refused_with_file_and_line(tmp_path, read, text, message):
    with pytest.raises(ValueError, match=f"given.*{message}"):
        read(written(tmp_path, text))


def test_starts_are_the_first_base_in_the_direction_of_the_strand(tmp_path):
    text = f"{TRAIN}\t1000\t1060\ta\t0\t+\n{TRAIN}\t2000\t2060\tb\t0\t-\n"
    found = elements.starts(written(tmp_path, text))
    assert found.found.starts.tolist() == [1000, 2059]
    assert found.windows.starts.tolist() == [951, 2049] and found.length == 300


def test_windows_of_promoters_of_epdnew_begin_with_their_regions(tmp_path):
    rows = [("+", 1049, 1060), ("-", 1000, 1011), ("-", 1000, 1060), ("+", 0, 0)]
    text = lines([(TRAIN, 1000, 1060, "a_1", 900, *row) for row in rows])
    found = elements.starts(written(tmp_path, text))
    assert found.found.starts.tolist() == [1049, 1010, 1059, 1000]  # the last two are not EPDnew's
    assert found.windows.starts.tolist() == [1000, 1000, 1049, 951]
    with pytest.raises(ValueError, match="start is 'x'"):
        elements.starts(written(tmp_path, lines([(TRAIN, "x", 1060, "a", 0, "+", 1049, 1060)])))


def test_windows_of_peaks_and_middles_start_where_the_rules_say(tmp_path):
    path = written(tmp_path, lines([(TRAIN, 5000, 5010), (TRAIN, 100, 111), (TRAIN, 100, 103)]))
    assert elements.peaks(path).windows.starts.tolist() == [4999, 99, 99]
    assert elements.stretches(path, 20).windows.starts.tolist() == [4995, 95, 91]
    assert elements.stretches(path, 3).windows.starts.tolist() == [5004, 104, 100]


def test_wrong_options_are_refused(tmp_path):
    site = "chr1", 5, "+", "donor"
    path = written(tmp_path, lines([(TRAIN, 1000, 3000)]))
    for message, ask in (
        ("all 1 peaks have more than 1,000 bases", lambda: elements.peaks(path)),
        ("length 0", lambda: elements.stretches(path, 0)),
        ("sites 'donor'; choose one of donors, acce", lambda: elements.exons(path, "donor")),
        ("rows -1", lambda: Plan(most=-1)),
        ("no acceptor among 1 exon boundaries", lambda: sites_of(tmp_path, [site], "all")),
    ):
        with pytest.raises(ValueError, match=message):
            ask()
