"""Parts of a task: what the files give stays, what is missing is made, and notes say so."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdiedna import tasks, vocab
from birdiedna.tasks.tables import Columns

HEAD = "sequence,label,chrom\n"


def table(path: Path, rows: list[tuple], head: str = HEAD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def several(chromosomes: str, each: int = 2) -> list[tuple]:
    """Rows of both classes on each chromosome, all different."""
    names = chromosomes.split()
    count = len(names) * each
    bases = ["".join("ACGT"[i >> 2 * k & 3] for k in range(6)) for i in range(count)]
    return [(bases[i], i % 2, names[i // each]) for i in range(count)]


def test_rows_on_held_out_chromosomes_of_one_table_are_the_test_part(tmp_path):
    path = table(tmp_path / "own.csv", several("chr1 chr20 chr2 21 chr22 chr3"))
    train, validation, test, notes = tasks.load(path, "own")
    assert {name.split(":")[0] for name in test.names} == {"chr20", "21", "chr22"}
    assert {name.split(":")[0] for name in train.names} == {"chr1", "chr2", "chr3"}
    assert validation is None
    assert notes["remarks"] == ["one table holds all rows; test rows are those on 21, chr20, chr22"]


def test_coordinates_in_names_serve_where_no_column_names_the_chromosome(tmp_path):
    text = "".join(f">chr{c}:{i}-{i + 2}|{i % 2}\nAC\n" for c in (1, 20) for i in range(6))
    (tmp_path / "own.fna").write_text(text)
    found = tasks.load(tmp_path, "own")
    assert {name[:5] for name in found.test.names} == {"chr20"} and len(found.train.labels) == 6


@pytest.mark.parametrize("chromosomes", ["chr1 chr2 chr3 chr4 chr5 chr6 chr7 chr8 chr9 chr10", "x"])
def test_a_tenth_is_carved_where_no_row_is_held_out(tmp_path, chromosomes):
    rows = several(chromosomes, 20 if len(chromosomes) > 1 else 200)
    path = table(tmp_path / "own.csv", rows)
    first, again = tasks.load(path, "own"), tasks.load(path, "own")
    assert first.test.names == again.test.names and len(first.test.labels) == 20
    assert sorted(first.train.names + first.test.names) == sorted(
        f"{row[2]}:row {i + 1}" for i, row in enumerate(rows)
    )
    assert "a tenth is carved from it as test rows" in first.notes["remarks"][0]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["chr1", "chr2", "chr20", "chr21"]), min_size=4, max_size=30))
def test_dividing_a_table_loses_and_doubles_no_row(tmp_path, chromosomes):
    path = table(tmp_path / "own.csv", [("AC", i % 2, c) for i, c in enumerate(chromosomes)])
    try:
        found = tasks.load(path, "own")
    except ValueError as error:
        assert "a class is missing" in str(error) or "single row" in str(error)
        return
    assert len(found.train.labels) + len(found.test.labels) == len(chromosomes)
    assert not {*found.train.names} & {*found.test.names}
    assert {name.split(":")[0] for name in found.train.names} <= {"chr1", "chr2"}


@pytest.mark.parametrize(
    "chromosomes", [["chr20"] * 4, ["chr20", "chr1", "chr1", "chr1"]], ids=["all", "one class"]
)
def test_held_out_rows_are_never_trained_on_to_fill_up_a_part(tmp_path, chromosomes):
    path = table(tmp_path / "own.csv", [("AC", i % 2, c) for i, c in enumerate(chromosomes)])
    with pytest.raises(ValueError, match="own: one table .* lie on chr20.*give train and test"):
        tasks.load(path, "own")


@pytest.mark.parametrize("part", ["train", "test", "dev"])
def test_a_part_that_is_alone_is_divided_and_notes_say_so(tmp_path, part):
    table(tmp_path / f"own.{part}.csv", several("x", 40))
    found = tasks.load(tmp_path, "own")
    name = "validation" if part == "dev" else part
    assert found.notes["remarks"] == [
        f"all rows come from the {name} file; a tenth is carved from it as test rows, "
        "the same share of each class, drawn at random"
    ]
    assert (len(found.train.labels), len(found.test.labels)) == (36, 4)


def test_a_dev_part_is_the_validation_part(tmp_path):
    for part, first in (("train", "A"), ("dev", "C"), ("test", "G")):
        table(tmp_path / f"own.{part}.csv", [(first + "A", 0, 1), (first + "C", 1, 1)])
    found = tasks.load(tmp_path, "own")
    assert [part.tokens[0, 0] for part in found[:3]] == [vocab.A, vocab.C, vocab.G]
    assert found.notes["remarks"] == [] and list(found.notes["rows"]) == [*tasks.PARTS]


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_dev_part_stands_in_for_a_missing_one(tmp_path, missing):
    other = {"train": "test", "test": "train"}[missing]
    table(tmp_path / f"own.{other}.csv", several("1"))
    table(tmp_path / "own.dev.csv", several("1 2"))
    found = tasks.load(tmp_path, "own")
    assert found.validation is None and len(getattr(found, missing).labels) == 4
    said = f"there is no {missing} file: {missing} rows come from the validation file"
    assert found.notes["remarks"] == [said]


@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_a_class_that_a_part_lacks_is_refused(tmp_path, part):
    for name in ("train", "dev", "test"):
        rows = [("AC", label, 1) for label in ((0, 1) if name == part else (0, 1, 2))]
        table(tmp_path / f"own.{name}.csv", rows)
    with pytest.raises(
        ValueError, match=r"a class has no rows \(.*2: 0\)|label is '2'; use .*0..1"
    ):
        tasks.load(tmp_path, "own")


def test_train_rows_on_held_out_chromosomes_stay_and_are_counted(tmp_path):
    table(tmp_path / "own" / "train.csv", several("chr1 chr20 chr21"))
    table(tmp_path / "own" / "test.csv", several("chr1"))
    found = tasks.load(tmp_path, "own")
    assert len(found.train.labels) == 6
    assert "4 train rows lie on chr20, chr21, chr22" in found.notes["remarks"][0]


def texts(root: Path, classes: str = "ocr enhancer promoter") -> Path:
    for part in ("train", "test"):
        for i, name in enumerate(classes.split()):
            folder = root / "set" / part / name
            folder.mkdir(parents=True)
            (folder / "0.txt").write_text("ACG"[i] * 4)
    return root


def test_classes_of_texts_are_numbered_by_sorted_name(tmp_path):
    found = tasks.load(texts(tmp_path), "set")
    assert found.notes["classes"] == ["enhancer", "ocr", "promoter"]
    assert found.notes["numbering"] == "class folders sorted by name"
    assert found.train.names == ("enhancer/0.txt", "ocr/0.txt", "promoter/0.txt")
    assert found.train.labels.tolist() == [0, 1, 2]


def test_a_label_map_numbers_the_classes_of_texts(tmp_path):
    given = Columns(labels=(("promoter", 0), ("enhancer", 1), ("ocr", 2)))
    found = tasks.load(texts(tmp_path), "set", given)
    assert found.train.labels.tolist() == [1, 2, 0]
    assert found.notes["classes"] == ["promoter", "enhancer", "ocr"]
    with pytest.raises(ValueError, match="label is 'ocr'; the label map has promoter, enhancer"):
        tasks.load(tmp_path, "set", Columns(labels=given.labels[:2]))


def test_parts_with_other_classes_are_refused(tmp_path):
    texts(tmp_path, "a b")
    (tmp_path / "set" / "test" / "b").rename(tmp_path / "set" / "test" / "c")
    with pytest.raises(ValueError, match="train has the classes a, b, test a, c; a task needs"):
        tasks.load(tmp_path, "set")


@pytest.fixture
def intervals(tmp_path, monkeypatch):
    """A folder with a set of intervals, and the FASTA they lie in."""
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))
    bases = "".join(np.random.default_rng(0).choice(list("ACGT"), 90))
    (tmp_path / "ref.fa").write_text(f">chr1\n{bases}\n>chr20\n{bases[::-1]}\n")
    head = "id,region,start,end,strand\n"
    for part in ("train", "test"):
        for i, name in enumerate(("positive", "negative")):
            rows = [(j, "chr1", 9 * j + i, 9 * j + i + 6, "+-"[j % 2]) for j in range(8)]
            rows += [(9, "chr7", 0, 5, "+"), (10, "chr20", i, 5, "+")]
            table(tmp_path / f"set/set.{part}.{name}.csv", rows, head)
    return tmp_path / "set", str(tmp_path / "ref.fa"), bases


def test_intervals_are_read_from_the_reference(intervals):
    folder, reference, bases = intervals
    found = tasks.load(folder, "set", reference=reference, skip_missing=True)
    assert found.notes["classes"] == ["negative", "positive"]
    assert found.notes["numbering"] == "class tables sorted by name"
    assert found.train.labels.tolist() == [0] * 9 + [1] * 9
    assert vocab.decode(found.train.tokens[0]) == bases[1:7]
    missing = "intervals on contigs that the reference lacks, left out"
    assert found.notes["read"]["train"] == {"rows": 18, missing: 2}
    assert found.notes["remarks"][0].startswith("2 train rows lie on chr20")


def test_intervals_want_a_reference_that_holds_them(intervals):
    folder, reference, _ = intervals
    with pytest.raises(ValueError, match="intervals hold no sequence; .*--reference genome.fa"):
        tasks.load(folder, "set")
    with pytest.raises(ValueError, match="1 of 10 rows .*chr7:0-5. on a contig that ref.fa lacks"):
        tasks.load(folder, "set", reference=reference)


def test_each_class_of_intervals_may_have_its_own_reference(intervals):
    folder, path, _ = intervals
    both = f"negative={path},positive={path}"
    one = tasks.load(folder, "set", reference=path, skip_missing=True)
    two = tasks.load(folder, "set", reference=both, skip_missing=True)
    assert np.array_equal(one.train.tokens, two.train.tokens)
    with pytest.raises(ValueError, match="--reference names human; the classes are negative, pos"):
        tasks.load(folder, "set", reference=f"human={path}")


def test_a_label_map_numbers_the_classes_of_intervals_and_their_names(intervals):
    folder, reference, _ = intervals
    given = Columns(labels=(("positive", 0), ("negative", 1)))
    found = tasks.load(folder, "set", given, reference=reference, skip_missing=True)
    assert found.train.labels.tolist() == [1] * 9 + [0] * 9
    assert all(name.endswith(f"|{x}") for name, x in zip(found.train.names, found.train.labels))
    with pytest.raises(ValueError, match="the label map lacks positive"):
        other = Columns(labels=(("negative", 0), ("other", 1)))
        tasks.load(folder, "set", other, reference=reference, skip_missing=True)


def test_a_reference_for_rows_that_have_sequence_is_refused(tmp_path):
    path = table(tmp_path / "own.csv", several("chr1", 20))
    with pytest.raises(ValueError, match="--reference a.fa is for intervals; here is one table"):
        tasks.load(path, "own", reference="a.fa")
