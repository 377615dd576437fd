"""Tasks are built from a genome and coordinates by the recipe, whole, balanced and repeatable."""

import gzip
import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdiedna import tasks, vocab
from birdiedna.cli import data
from birdiedna.cli.parser import parser
from birdiedna.data import genome, intervals
from birdiedna.tasks import build, elements
from birdiedna.tasks.build import Plan
from scripts import make_sample as sample

compress = partial(gzip.compress, mtime=0)  # equal bytes every time: they name tests

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TRAIN, TEST, SIZE = "chr1", "chr20", 200_000


def made_up() -> dict[str, str]:
    """Two random chromosomes with N in each, and one that has no element."""
    rng = np.random.default_rng(5)
    letters = {name: rng.choice([*"ACGT"], SIZE, p=[0.3, 0.2, 0.2, 0.3]) for name in (TRAIN, TEST)}
    for text in letters.values():
        text[:500] = text[90_400:90_700] = "N"
        for start in range(4000, SIZE - 4000, 9000):
            text[start : start + 1000] = rng.choice([*"ACGT"], 1000, p=[0.2, 0.3, 0.3, 0.2])
    return {name: "".join(text) for name, text in letters.items()} | {"chr7": "ACGT" * 500}


TEXTS = made_up()
GENOME = genome.from_sequences(TEXTS, "made_up.fa")


def written(folder: Path, content: str | bytes, name: str = "in.bed") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def bed(rows: list[tuple]) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def scattered(count: int, size: int, seed: int = 0) -> list[tuple]:
    """BED6 rows on both chromosomes, half of them on each strand."""
    rng = np.random.default_rng(seed)
    return [
        (name, start, start + size, f"e{start}", 0, "+-"[i % 2])
        for name in (TRAIN, TEST)
        for i, start in enumerate(rng.choice(np.arange(2000, SIZE - 2000), count, False).tolist())
    ]


def rows_of(folder: Path) -> dict[str, list[tuple[str, int, int, int, str]]]:
    """(contig, start, end, label, sequence) of each row of each split."""
    found = {}
    for split in ("train", "test"):
        lines = (folder / f"{split}.fna").read_text().splitlines()
        found[split] = []
        for header, sequence in zip(lines[::2], lines[1::2], strict=True):
            place, label = header[1:].rsplit("|", 1)
            contig, span = place.rsplit(":", 1)
            start, end = map(int, span.split("-"))
            found[split].append((contig, start, end, int(label), sequence))
    return found


def kinds(folder: Path) -> dict[str, elements.Elements]:
    """One of each kind of elements, about 60 on each chromosome."""
    path = written(folder, bed(scattered(60, 400)))
    sites = [
        f"{name},{start},{strand},{'donor' if i % 4 < 2 else 'acceptor'}\n"
        for i, (name, start, _, _, _, strand) in enumerate(scattered(60, 1, 1))
    ]
    listed = written(folder, "contig,position,strand,site\n" + "".join(sites), "sites.csv")
    return {
        "peaks": elements.peaks(path),
        "starts": elements.starts(path),
        "centre": elements.stretches(path, 401),
        "start": elements.stretches(path, 300, "start"),
        "donors": elements.exons(listed, "donors"),
        "acceptors": elements.exons(listed, "acceptors"),
        "all": elements.exons(listed, "all"),
    }


KINDS = ("peaks", "starts", "centre", "start", "donors", "acceptors", "all")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoy", [False, True])
def test_rows_are_genome_windows_balanced_on_every_contig_and_split_by_chromosome(
    tmp_path, kind, decoy
):
    chosen = kinds(tmp_path)[kind]
    build.build(GENOME, chosen, "mine", tmp_path / "out", decoys=True)
    found = rows_of(tmp_path / "out" / ("mine_decoy" if decoy else "mine"))
    for split, name in (("train", TRAIN), ("test", TEST)):
        labels = [row[3] for row in found[split]]
        classes = max(1, len(chosen.sites)) + 1
        assert {row[0] for row in found[split]} == {name}
        assert len({labels.count(label) for label in range(classes)}) == 1
        assert len(labels) == classes * labels.count(0) > 0
        assert len({row[1] for row in found[split]}) == len(labels)
        for contig, start, end, _, sequence in found[split]:
            assert TEXTS[contig][start:end] == sequence and len(sequence) == chosen.length
            assert set(sequence) <= set("ACGT")


@pytest.mark.parametrize("kind", KINDS)
def test_positives_are_windows_of_elements_and_plain_negatives_are_clear_of_all(tmp_path, kind):
    chosen = kinds(tmp_path)[kind]
    windows = set(zip(chosen.windows.contigs, chosen.windows.starts, chosen.labels))
    spans = [chosen.found] if chosen.sites else [chosen.found, chosen.windows]
    taken = {name: np.zeros(SIZE + 2000, bool) for name in (TRAIN, TEST)}
    for span in spans:
        for contig, start, end, _ in zip(*span):
            taken[contig][max(0, start) : end] = True
    found, _ = build.rows(GENOME, chosen, "mine")
    for part in found.values():
        for contig, start, end, label in zip(*part.windows[:3], part.labels):
            assert (label, start % 1000) == (0, 0) or (contig, start, label) in windows
            assert label or not taken[contig][start:end].any()


def test_the_same_input_gives_the_same_bytes_and_another_seed_or_name_others(tmp_path):
    chosen = kinds(tmp_path)["all"]

    def content(out: str, name: str = "mine", seed: int = 0) -> bytes:
        build.build(GENOME, chosen, name, tmp_path / out, Plan(seed=seed), decoys=True)
        folders = (tmp_path / out / name, tmp_path / out / f"{name}_decoy")
        return b"".join(
            (folder / f"{s}.fna").read_bytes() for folder in folders for s in ("train", "test")
        )

    first = content("a")
    assert first == content("b")
    assert len({first, content("c", seed=1), content("d", "other")}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_decoy_task_has_the_positives_of_the_plain_one_and_other_negatives(tmp_path, kind):
    build.build(GENOME, kinds(tmp_path)[kind], "mine", tmp_path / "out", decoys=True)
    plain, decoy = (rows_of(tmp_path / "out" / name) for name in ("mine", "mine_decoy"))
    for split in ("train", "test"):
        assert {r for r in plain[split] if r[3]} == {r for r in decoy[split] if r[3]}
        assert {r for r in plain[split] if not r[3]} != {r for r in decoy[split] if not r[3]}


def test_splice_decoys_hold_the_two_letters_on_as_many_strands_as_the_positives(tmp_path):
    chosen = kinds(tmp_path)["donors"]
    plus = {
        (contig, start)
        for contig, start, strand in zip(*chosen.windows[:2], chosen.windows.strands)
        if strand == "+"
    }
    build.build(GENOME, chosen, "mine", tmp_path / "out", decoys=True)
    known = set(zip(chosen.found.contigs.tolist(), chosen.found.starts.tolist()))
    for rows in rows_of(tmp_path / "out" / "mine_decoy").values():
        negatives = [row for row in rows if not row[3]]
        assert not known & {(row[0], row[1] + 300) for row in negatives}
        either = [(row[4][301:303] == "GT", row[4][298:300] == "AC") for row in negatives]
        assert all(any(pair) for pair in either)
        forward = sum((row[0], row[1]) in plus for row in rows if row[3])
        only = [pair for pair in either if pair[0] != pair[1]]
        certain = sum(pair[0] for pair in only)
        assert certain <= forward <= certain + len(either) - len(only)


def test_splice_decoys_lie_in_transcripts_of_their_strand_when_there_are_any(tmp_path):
    genes = [
        (
            "g",
            name,
            strand,
            start,
            start + 9000,
            f"{start},{start + 8000},",
            f"{start + 500},{start + 9000},",
        )
        for name in ("1", "20")
        for strand, start in (("+", 20_000), ("-", 40_000))
    ]
    path = written(tmp_path, "#NAME\n" + bed(genes), "genes.txt")
    build.build(GENOME, elements.exons(path), "mine", tmp_path / "out", decoys=True)
    for rows in rows_of(tmp_path / "out" / "mine_decoy").values():
        for _, start, _, label, sequence in rows:
            base = start + 300
            forward = sequence[301:303] == "GT" and 20_000 <= base < 29_000
            reverse = sequence[298:300] == "AC" and 40_000 <= base < 49_000
            assert label or forward or reverse


def test_no_annotated_donor_is_a_decoy_even_where_half_of_all_gt_are_annotated(tmp_path):
    genes = []
    for name in (TRAIN, TEST):
        bases = [i for i in range(20_000, 20_800) if TEXTS[name][i + 1 : i + 3] == "GT"][::2]
        exons = [*bases, 20_900]
        starts, ends = numbers(exons), numbers([base + 1 for base in exons])
        genes.append(("g", name, "+", bases[0] - 50, 20_901, starts, ends))
    chosen = elements.exons(written(tmp_path, bed(genes), "genes.txt"))
    found, _ = build.rows(GENOME, chosen, "mine", decoy=True)
    for part in found.values():
        negatives = part.windows.starts[part.labels == 0]
        positives = part.windows.starts[part.labels == 1]
        assert len(negatives) == len(positives) > 10
        assert not set(negatives.tolist()) & set(positives.tolist())


def test_decoys_of_other_elements_have_the_gc_content_of_the_positives(tmp_path):
    rich = [(n, s, s + 300) for n in (TRAIN, TEST) for s in range(4200, SIZE - 4000, 18_000)]
    chosen = elements.peaks(written(tmp_path, bed(rich)))
    records = build.build(GENOME, chosen, "mine", tmp_path / "out", decoys=True)
    for split in ("train", "test"):
        plain, decoy = (records[name]["splits"][split]["gc"] for name in ("mine", "mine_decoy"))
        assert plain["1"] == decoy["1"] and plain["1"] - plain["0"] > 0.05
        assert abs(decoy["1"] - decoy["0"]) < 0.5 * (plain["1"] - plain["0"])


def test_what_is_built_can_be_fine_tuned_on(tmp_path):
    for name, chosen in kinds(tmp_path).items():
        build.build(GENOME, chosen, name, tmp_path / "out", decoys=True)
    expected = sorted([*KINDS, *(f"{kind}_decoy" for kind in KINDS)])
    assert tasks.names(tmp_path / "out") == expected
    loaded = tasks.read(tasks.find(tmp_path / "out", "all"))
    assert set(loaded.train.labels.tolist()) == {0, 1, 2} and loaded.test.tokens.shape[1] == 600
    assert loaded.train.names[0].startswith("chr1:")


def test_rows_can_be_had_as_arrays_that_equal_the_files(tmp_path):
    chosen = kinds(tmp_path)["starts"]
    found, _ = build.rows(GENOME, chosen, "mine")
    build.build(GENOME, chosen, "mine", tmp_path / "out")
    train = tasks.read(tasks.find(tmp_path / "out", "mine")).train
    assert (intervals.tokens(GENOME, found["train"].windows)[0] == train.tokens).all()
    assert (found["train"].labels == train.labels).all()


def test_provenance_names_inputs_rules_and_counts(tmp_path):
    path = written(tmp_path, bed(scattered(40, 400) + [(TRAIN, 5000, 6001, "long", 0, "+")]))
    build.build(GENOME, elements.peaks(path), "mine", tmp_path / "out")
    record = json.loads((tmp_path / "out" / "mine" / "PROVENANCE.json").read_text())
    assert record["inputs"]["elements"]["name"] == "in.bed"
    assert record["inputs"]["elements"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["inputs"]["genome"] == {
        "name": "made_up.fa",
        "sha256_of_bases": GENOME.fingerprint,
    }
    assert "1,000 bases from the base before the peak" in record["rules"]["positives"]
    assert "chr20, chr21, chr22" in record["rules"]["split"]
    assert record["dropped"]["peak of more than 1,000 bases"] == 1 and record["elements"] == 81
    for split, rows in rows_of(tmp_path / "out" / "mine").items():
        counts = record["splits"][split]
        assert counts["rows"] == len(rows) == sum(counts["labels"].values())
        text = "".join(row[4] for row in rows if row[3])
        share = (text.count("G") + text.count("C")) / len(text)
        assert counts["gc"]["1"] == pytest.approx(share, abs=1e-4)
    said = build.summary(record)
    assert "left out 1 of 81: peak of more than 1,000 bases" in said and "train" in said


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
    chosen = elements.peaks(written(tmp_path, bed(rows)))
    with pytest.raises(ValueError, match="1 of 7 rows .*chr9:10-20.* lacks"):
        build.rows(GENOME, chosen, "mine")
    found, dropped = build.rows(GENOME, chosen, "mine", Plan(skip_missing=True))
    assert dropped == {
        "on a contig that the genome lacks": 1,
        "same window as another": 1,
        "window holds N": 1,
        "window leaves the contig": 2,
    }
    assert sum(int((part.labels > 0).sum()) for part in found.values()) + 5 == len(rows)


def test_positives_without_a_negative_to_go_with_them_are_counted(tmp_path):
    crowd = [(TRAIN, start, start + 900) for start in range(1000, 190_000, 950)]
    chosen = elements.peaks(written(tmp_path, bed([*crowd, (TEST, 3000, 3100)])))
    found, dropped = build.rows(GENOME, chosen, "mine")
    kept = int((found["train"].labels > 0).sum())
    assert 0 < kept < 20 and (found["train"].labels == 0).sum() == kept
    assert dropped["no row of another class to go with it"] + kept == len(crowd) - dropped.get(
        "window holds N", 0
    )


def test_a_base_that_is_donor_and_acceptor_gives_no_row(tmp_path):
    sites = [
        (n, p, s, k)
        for n in (TRAIN, TEST)
        for p, s, k in (
            (5000, "+", "donor"),
            (5000, "-", "acceptor"),
            (9000, "+", "donor"),
            (9500, "+", "acceptor"),
        )
    ]
    path = written(tmp_path, "contig\tposition\tstrand\tsite\n" + bed(sites), "sites.tsv")
    found, dropped = build.rows(GENOME, elements.exons(path, "all"), "mine")
    assert dropped == {"same window in two classes": 4}
    assert sorted(found["train"].labels.tolist()) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["peaks", "all"])
def test_a_limit_of_rows_keeps_classes_balanced_and_counts_the_rest(tmp_path, kind):
    chosen = kinds(tmp_path)[kind]
    everything, _ = build.rows(GENOME, chosen, "mine")
    found, dropped = build.rows(GENOME, chosen, "mine", Plan(most=20))
    classes = len(chosen.sites) + 1 if chosen.sites else 2
    for split, part in found.items():
        counts = np.bincount(part.labels)
        assert set(counts.tolist()) == {20 // classes}
        whole = set(zip(*everything[split].windows[:2], everything[split].labels))
        assert set(zip(*part.windows[:2], part.labels)) <= whole
    before, after = (
        sum(int((part.labels > 0).sum()) for part in some.values()) for some in (everything, found)
    )
    assert dropped["over the limit of rows"] == before - after


def test_provenance_counts_only_the_sites_that_the_task_is_about(tmp_path):
    chosen = kinds(tmp_path)["donors"]
    record = build.build(GENOME, chosen, "mine", tmp_path / "out")["mine"]
    assert record["elements"] == len(chosen.labels) < len(chosen.found.starts)
    rows = sum(counts["labels"]["1"] for counts in record["splits"].values())
    assert rows + sum(record["dropped"].values()) == record["elements"]


def test_held_out_chromosomes_are_the_test_rows_and_may_be_chosen(tmp_path):
    chosen = kinds(tmp_path)["peaks"]
    for held in (("chr1",), ("1", "chr21")):
        found, _ = build.rows(GENOME, chosen, "mine", Plan(held_out=held))
        assert set(found["test"].windows.contigs) == {TRAIN}
        assert set(found["train"].windows.contigs) == {TEST}
    with pytest.raises(ValueError, match="no test rows: .*chr7.* rows on chr1, chr20; hold out"):
        build.rows(GENOME, chosen, "mine", Plan(held_out=("chr7",)))
    with pytest.raises(ValueError, match="held-out 'foo' is no chromosome and no contig"):
        build.rows(GENOME, chosen, "mine", Plan(held_out=("foo",)))


def test_elements_of_another_assembly_are_recognised_by_their_ends(tmp_path):
    chosen = elements.peaks(written(tmp_path, bed([(TEST, SIZE - 5, SIZE + 5)])))
    with pytest.raises(ValueError, match=r"1 of 1 rows \(first: row 1, chr20:.*another assembly"):
        build.rows(GENOME, chosen, "mine")


def test_names_of_chromosomes_may_differ_between_genome_and_elements(tmp_path):
    rows = [(name.removeprefix("chr"), *rest) for name, *rest in scattered(30, 400)]
    plain = build.rows(GENOME, elements.peaks(written(tmp_path, bed(scattered(30, 400)))), "m")
    other = build.rows(GENOME, elements.peaks(written(tmp_path, bed(rows))), "m")
    for split in ("train", "test"):
        assert (plain[0][split].windows.starts == other[0][split].windows.starts).all()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 300, "a\0b"])
def test_task_names_that_are_no_plain_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="task name .* use letters, digits"):
        build.build(GENOME, kinds(tmp_path)["peaks"], name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    chosen = kinds(tmp_path)["peaks"]
    build.build(GENOME, chosen, "mine_decoy", tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="mine_decoy exists; delete it or choose another name"):
        build.build(GENOME, chosen, "mine", tmp_path / "out", decoys=True)
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build.build(GENOME, chosen, "other", tmp_path / "out")
    assert sorted(tmp_path.rglob("*")) == before


def command(*options: str) -> int:
    return data.build_task(parser().parse_args(["data", "build", *options]))


def test_the_command_builds_a_task_and_says_what_is_in_it_and_what_is_not(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))
    lines = "".join(f">{name}\n{text}\n" for name, text in TEXTS.items())
    fasta = written(tmp_path, lines, "my.fa")
    peaks = written(tmp_path, bed([*scattered(30, 400), (TRAIN, 5000, 6001, "long", 0, "+")]))
    out = tmp_path / "out"
    options = ("--genome", str(fasta), "--out", str(out), "--task", "mine")
    assert command(*options, "--peaks", str(peaks), "--decoys", "--rows", "20") == 0
    said = capsys.readouterr().out
    assert "left out 1 of 61: peak of more than 1,000 bases" in said
    assert "over the limit of rows" in said and f"--tasks {out} --task mine" in said
    assert tasks.names(out) == ["mine", "mine_decoy"]
    assert {split: len(rows) for split, rows in rows_of(out / "mine").items()} == {
        "train": 20,
        "test": 20,
    }
    for wrong, message in (
        (("--bed", str(peaks)), "--bed needs --length"),
        (("--peaks", str(peaks), "--length", "5"), "--length goes with --bed only"),
        (("--bed", str(peaks), "--length", "5", "--sites", "all"), "--sites goes with --exons"),
        (("--tss", str(peaks)), "mine exists; delete it"),
    ):
        with pytest.raises(ValueError, match=message):
            command(*options, *wrong)


# --- files of elements ----------------------------------------------------------------------

EXONS = [("t1", "chr1", "+", ((1000, 1100), (2000, 2200), (3000, 3050)))]
EXONS += [("t2", "chr20", "-", ((5000, 5100), (6000, 6001))), ("t3", "chr1", "-", ((10, 90),))]
BOUNDARIES = {
    ("chr1", 1099, "+", "donor"),
    ("chr1", 2199, "+", "donor"),
    ("chr1", 2000, "+", "acceptor"),
    ("chr1", 3000, "+", "acceptor"),
    ("chr20", 6000, "-", "donor"),
    ("chr20", 5099, "-", "acceptor"),
}


def numbers(values: list[int]) -> str:
    return "".join(f"{value}," for value in values)


def annotation(form: str) -> str:
    """The same transcripts in each format; GTF and GFF3 also have other lines, out of order."""
    lines = []
    for name, contig, strand, exons in EXONS:
        starts, ends = [start for start, _ in exons], [end for _, end in exons]
        first, last = starts[0], ends[-1]
        if form == "bed12":
            sizes, offsets = [e - s for s, e in exons], [s - first for s in starts]
            lines.append(
                (
                    contig,
                    first,
                    last,
                    name,
                    0,
                    strand,
                    first,
                    first,
                    0,
                    len(exons),
                    numbers(sizes),
                    numbers(offsets),
                )
            )
        elif form == "table":
            lines.append((name, contig[3:], strand, first, last, numbers(starts), numbers(ends)))
        else:
            tag = (
                f'gene_id "g"; transcript_id "{name}";' if form == "gtf" else f"ID=e;Parent={name}"
            )
            lines.append((contig, "x", "transcript", first + 1, last, ".", strand, ".", tag))
            lines += [
                (contig, "x", "exon", s + 1, e, ".", strand, ".", tag) for s, e in exons[::-1]
            ]
    return "#comment\n" + bed(lines)


@pytest.mark.parametrize("form", ["gtf", "gff3", "bed12", "table"])
def test_boundaries_are_the_same_from_every_annotation_format(tmp_path, form):
    path = written(tmp_path, compress(annotation(form).encode()), f"genes.{form}.gz")
    found, kinds, genes = elements.boundaries(path)
    columns = (found.contigs, found.starts, found.strands, kinds)
    assert set(zip(*(column.tolist() for column in columns))) == BOUNDARIES
    assert len(kinds) == 6 and (found.ends - found.starts == 1).all()
    assert [gene[:4] for gene in genes] == [
        ("chr1", "+", 1000, 3050),
        ("chr20", "-", 5000, 6001),
        ("chr1", "-", 10, 90),
    ]


def test_boundaries_may_be_named_one_by_one_and_repeats_count_once(tmp_path):
    rows = [",".join(map(str, row)) for row in sorted(BOUNDARIES)]
    text = "\n".join(["contig,position,strand,site", *rows, rows[0]]) + "\n"
    found, kinds, genes = elements.boundaries(written(tmp_path, text, "sites.csv"))
    columns = (found.contigs, found.starts, found.strands, kinds)
    assert set(zip(*(column.tolist() for column in columns))) == BOUNDARIES
    assert len(kinds) == 6 and genes == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("<html>", "a web page"),
        ("#only comments\n", "line 0: '' is no line of GTF"),
        ("chr1\t5\t9\n", r"line 1: 'chr1\\t5\\t9' is no line of GTF \(9 columns\), BED12"),
        ('chr1\tx\texon\t5\tb\t.\t+\t.\ttranscript_id "t"\n', "line 1: .* gives no exons"),
        ('chr1\tx\texon\t9\t5\t.\t+\t.\ttranscript_id "t"\n', "line 1: .* gives no exons"),
        ('chr1\tx\texon\t5\t9\t.\t.\t.\ttranscript_id "t"\n', "line 1: .* gives no exons"),
        ("chr1\tx\texon\t5\t9\t.\t+\t.\tgene_id 1\n", "line 1: .* gives no exons"),
        ('chr1\tx\texon\t5\t9\t.\t+\t.\ttranscript_id "t"\n', "no exon boundary in the file"),
        ("#\na\t1\t+\t5\t9\t5,7,\t9,\n", "line 2: .* gives no exons"),
        ("contig,position,strand,site\nchr1,1.5,+,donor\n", "line 2: position '1.5'"),
        ("contig,position,strand,site\nchr1,1,+,exon\n", "line 2: .*site 'exon'; use"),
        ("contig,position,strand,site\nchr1,1,,donor\n", "line 2: .*strand ''"),
        ("contig,position,site\nchr1,1,donor\n", "line 1: no column 'strand'"),
        (compress(annotation("gtf").encode() * 99)[:-9], "cut short"),
    ],
)
def test_bad_annotations_are_refused_with_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"genes.*{message}"):
        elements.exons(written(tmp_path, text, "genes.txt"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t9\n", r"1 of 1 starts have no strand \(first: row 1\)"),
        ("chr1\t5\t9\tn\t0\t+\nchr1\t5\t9\tn\t0\t.\n", r"1 of 2 starts .*row 2"),
        ("contig,position,strand\nchr1,five,+\n", "line 2: start is 'five'"),
        ("contig,position,strand\nchr1,5,forward\n", "line 2: strand is 'forward'"),
        ("contig,position,strand\nchr1,5,\n", "1 of 1 starts have no strand"),
        ("contig,position\nchr1,5\n", "line 1: no column 'strand'"),
    ],
)
def test_bad_starts_are_refused_with_file_and_place(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"in.bed.*{message}"):
        elements.starts(written(tmp_path, text))


def test_starts_are_the_first_base_in_the_direction_of_the_strand_from_bed_and_tables(tmp_path):
    lines = bed([(TRAIN, 1000, 1060, "a", 0, "+"), (TRAIN, 2000, 2060, "b", 0, "-")])
    table = f"contig,position,strand\n{TRAIN},1000,+\n{TRAIN},2059,-\n"
    for text, name in ((lines, "a.bed"), (table, "a.csv")):
        found = elements.starts(written(tmp_path, text, name))
        assert found.found.starts.tolist() == [1000, 2059]
        assert found.windows.starts.tolist() == [951, 2049] and found.length == 300


def test_wrong_options_are_refused(tmp_path):
    path = written(tmp_path, bed([(TRAIN, 1000, 3000)]))
    with pytest.raises(ValueError, match="all 1 peaks have more than 1,000 bases"):
        elements.peaks(path)
    with pytest.raises(ValueError, match="windows of 0 bases"):
        elements.stretches(path, 0)
    with pytest.raises(ValueError, match="anchor 'end'; choose one of centre, start"):
        elements.stretches(path, 10, "end")
    with pytest.raises(ValueError, match="sites 'donor'; choose one of donors, acceptors, all"):
        elements.exons(path, "donor")
    with pytest.raises(ValueError, match="at most -1 rows"):
        Plan(most=-1)
    only = written(tmp_path, "contig,position,strand,site\nchr1,5,+,donor\n", "sites.csv")
    with pytest.raises(ValueError, match="no acceptor among 1 exon boundaries"):
        elements.exons(only, "all")


@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
@given(
    st.lists(
        st.tuples(st.sampled_from([TRAIN, TEST]), st.integers(0, SIZE - 1), st.integers(1, 3000)),
        min_size=1,
    ),
    st.integers(1, 1200),
    st.sampled_from(["centre", "start"]),
)
def test_whatever_the_intervals_every_one_is_a_row_or_counted(tmp_path, rows, length, anchor):
    rows = [(name, start, min(SIZE, start + size)) for name, start, size in rows]
    rows += [(TRAIN, 60_000, 60_010), (TEST, 60_000, 60_010)]
    chosen = elements.stretches(written(tmp_path, bed(rows)), length, anchor)
    found, dropped = build.rows(GENOME, chosen, "mine")
    assert sum(int((p.labels > 0).sum()) for p in found.values()) + sum(dropped.values()) == len(
        rows
    )
    for part in found.values():
        tokens, lengths = intervals.tokens(GENOME, part.windows)
        assert (lengths == length).all() and not (tokens == vocab.N).any()
        assert np.bincount(part.labels).tolist() == [len(part.labels) // 2] * 2


WHEEL = next(source for source in sample.SOURCES if source.archive.endswith(".whl"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside the checkout")
def test_a_task_of_real_genes_has_the_positives_that_others_rebuilt(tmp_path):
    """Independent: GENCODE's exons on 20 Mb of GRCh37 against rows that others rebuilt."""
    if not (sample.CACHE / WHEEL.archive).exists():
        pytest.skip(f"{WHEEL.archive} is not in the sample's cache: the sample was not built here")
    table = sample.unpack(WHEEL, (sample.CACHE / WHEEL.archive).read_bytes())["genes"].decode()
    parts, size = {}, 20_000_000
    for name in ("chrX", "chr20"):
        with gzip.open(next(SHARED.glob(f"genomes/human.GRCh37.{name}*.fa.gz"))) as file:
            file.readline()
            parts[name] = file.read(size * 81 // 80).replace(b"\n", b"").decode()[:size]
    lines = [line for line in table.splitlines() if not line.startswith("#")]
    fields = [line.split("\t") for line in lines]
    kept = [line for line, f in zip(lines, fields) if f[1] in ("X", "20") and int(f[4]) <= size]
    path = written(tmp_path, "\n".join(kept) + "\n", "genes.txt")
    human = genome.from_sequences(parts, "GRCh37")
    build.build(human, elements.exons(path), "donors", tmp_path / "out", decoys=True)
    found = rows_of(tmp_path / "out" / "donors")
    with gzip.open(SHARED / "tasks/nt_recipe/splice_sites_donors.csv.gz", "rt") as file:
        rebuilt = {tuple(line.split(",")[:2]) for line in file}
    positives = {(r[4], f"{r[0]}:{r[1]}-{r[2]}|1") for part in found.values() for r in part if r[3]}
    assert positives <= rebuilt and len(positives) > 1000
    decoys = rows_of(tmp_path / "out" / "donors_decoy")["test"]
    rule = [(r[4][301:303] == "GT" or r[4][298:300] == "AC") == bool(r[3]) for r in decoys]
    assert np.mean(rule) < 0.51
