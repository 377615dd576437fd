"""Tasks of a folder: splits given as files are kept, missing ones are made, notes report both."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import written
from made_rows import different

from birdiedna import tasks, vocab
from birdiedna.tasks import Columns, Reading, Task

FNA = ">a|0\nAC\n>b|1\nGT\n"
HEAD = "sequence,label,chrom\n"
TRAIN = [("ACGTACGT", 0), ("GGGG", 1), ("GGGG", 1), ("TTTT", 0), ("CCCC", 1)]
TEST = [("GGGG", 0), ("AAAA", 1)]


def load(path: Path, name: str = "own", **options) -> Task:
    return tasks.read(tasks.find(path, name), Reading(**options))


def fna(folder: Path, train: str = FNA + ">c|1\nGG\n", test: str = FNA) -> Path:
    """Write a task folder; no file for an empty text."""
    for part, text in (("train", train), ("test", test)):
        if text:
            written(folder, text, f"{part}.fna")
    return folder.parent


def table(path: Path, rows: list[tuple], head: str = HEAD) -> Path:
    text = head + "".join(",".join(map(str, row)) + "\n" for row in rows)
    return written(path.parent, text, path.name)


def several(chromosomes: str, each: int = 2) -> list[tuple]:
    """Rows of both classes on each chromosome, all different."""
    names = chromosomes.split()
    bases = ["".join("ACGT"[i >> 2 * k & 3] for k in range(6)) for i in range(len(names) * each)]
    return [(text, i % 2, names[i // each]) for i, text in enumerate(bases)]


def of(rows) -> set[str]:
    """The chromosomes in row names."""
    return {name.split(":")[0] for name in rows.names}


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with one task of tables, with repeated rows and one of 8 bases."""
    table(tmp_path / "own/train.csv", TRAIN, "sequence,label\n")
    table(tmp_path / "own/test.csv", TEST, "sequence,label\n")
    return tmp_path


def test_the_benchmark_has_18_tasks_and_the_decoys():
    names = [task.name for task in tasks.TASKS]
    assert len(names) == len(set(names)) == 19
    assert names[:4] == ["promoter_all", "promoter_no_tata", "promoter_tata", "splice_sites_donors"]
    assert names[-1] == "splice_sites_donors_decoy"
    three = {task.name for task in tasks.TASKS if task.classes == 3}
    assert three == {"enhancers_types", "splice_sites_all"}


def test_complete_tasks_are_listed_in_the_order_of_the_benchmark(tmp_path):
    for name in ("own", "splice_sites_donors", "promoter_all"):
        fna(tmp_path / name)
    fna(tmp_path / "half", test="")
    assert tasks.names(tmp_path) == ["promoter_all", "splice_sites_donors", "own"]


def test_an_unknown_task_is_refused_with_those_of_the_folder(tmp_path):
    with pytest.raises(ValueError, match="'promoters_all'.*did you mean 'promoter_all'.* pro"):
        load(fna(tmp_path / "promoter_all"), "promoters_all")


@pytest.mark.parametrize("ask", [tasks.names, lambda folder: load(folder, "promoter_all")])
def test_a_folder_without_tasks_is_refused_with_the_layout(tmp_path, ask):
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        ask(tmp_path / "nowhere")
    fna(tmp_path / "half", test="")
    with pytest.raises(ValueError, match=r"<task>/train .*half/ .*\.fna") as caught:
        ask(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_classes_must_be_those_of_the_benchmark(tmp_path):
    with pytest.raises(ValueError, match="train.fna, .*no train rows .0: 1, 1: 2, 2: 0.; .*some$"):
        load(fna(tmp_path / "enhancers_types"), "enhancers_types")


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
def test_notes_and_report_say_what_was_read_changed_and_repeated(own):
    found = load(own, length=6)
    assert found.train.lengths.tolist() == [6, 4, 4, 4, 4] and found.classes == ("0", "1")
    assert found.notes == {
        "layout": "a file for each part",
        "files": {"train": "own/train.csv", "test": "own/test.csv"},
        "classes": ["0", "1"],
        "numbering": "numbers in the files",
        "remarks": [],
        "read": {
            "train": {"rows": 5, "rows cut to 6 bases": 1, "bases cut off": 2},
            "test": {"rows": 2},
        },
        "rows": {"train": [2, 3], "test": [1, 1]},
        "lengths": {"train": [[4, 4, 4], [6, 6, 1]], "test": [[4, 4, 2]]},
        "repeats": {
            "train rows that repeat another, on either strand": 2,
            "sequences with two labels, on either strand": 2,
            "test rows whose sequence is in train, on either strand": 2,
        },
    }
    json.dumps(found.notes)
    assert tasks.report(found.notes) == [
        "a file for each part: train own/train.csv; test own/test.csv",
        "classes: 0, 1 (numbers in the files)",
        "train: 5 rows of 4 to 6 bases (4-4: 4, 6-6: 1); by class 0: 2, 1: 3",
        "test: 2 rows of 4 bases; by class 0: 1, 1: 1",
        "train as read: 1 row cut to 6 bases; 2 bases cut off",
        "2 train rows that repeat another, on either strand",
        "2 sequences with two labels, on either strand",
        "2 test rows whose sequence is in train, on either strand",
    ]


def test_a_length_truncates_every_part_alike(own):
    found = load(own, length=3)
    assert found.train.tokens.shape[1] == found.test.tokens.shape[1] == 3
    whole = load(own, length=9)
    assert "rows cut" not in str(whole.notes) and whole.train.lengths.max() == 8


def test_cropped_rows_hold_the_positions_and_say_so(own):
    whole = load(own)
    found = tasks.cropped(whole, 1, 3)
    *before, said = found.notes["remarks"]
    assert found.notes | {"remarks": before} == whole.notes and found.validation is None
    assert found.crop == (1, 3) and "bases 1 to 2 are" in said and "--length 8 reads all" in said
    assert vocab.decode(found.train.tokens[0]) == "CG" and found.test.lengths.tolist() == [2, 2]


def test_a_missing_validation_part_is_a_tenth_of_train_and_one_in_the_files_is_kept(tmp_path):
    path = table(tmp_path / "own.csv", several("x", 200))
    found = tasks.with_validation(load(path))
    assert [len(rows.labels) for rows in found.parts().values()] == [162, 18, 20]
    said = "18 of 180 (10.0%) train rows are for validation, the same share"
    assert found.notes["remarks"][-1].startswith(said)
    assert found.notes["rows"]["validation"] == [9, 9]
    assert tasks.with_validation(found) is found


def test_rows_on_held_out_chromosomes_of_one_table_are_the_test_part(tmp_path):
    found = load(table(tmp_path / "own.csv", several("chr1 chr20 chr2 21 chr22 chr3")))
    assert of(found.test) == {"chr20", "21", "chr22"} and found.validation is None
    assert of(found.train) == {"chr1", "chr2", "chr3"}
    assert found.notes["remarks"] == [
        "all rows come from one table; 6 of 12 (50.0%) are test rows, those on chr20, chr21, chr22"
    ]


def divided(path: Path, words: str, column: str = "split") -> Path:
    """One table, or FASTA, of rows that name their split."""
    rows = [(text, i % 2, word) for i, (text, word) in enumerate(zip(different(0, 8, 40), words))]
    if path.suffix == ".csv":
        return table(path, rows, f"sequence,label,{column}\n")
    path.write_text("".join(f">r|{label}|{word}\n{text}\n" for text, label, word in rows))
    return path


@pytest.mark.parametrize("file", ["own.csv", "own.train.csv", "own.fa"])
@pytest.mark.parametrize("column", ["split", "Set", "fold", "PARTITION"])
def test_rows_of_one_file_that_name_their_split_are_in_it(tmp_path, file, column):
    words = ["train", "train", "dev", "val", "TRAIN", "Training", "test", "testing"]
    found = load(divided(tmp_path / file, words, column))
    texts = {part: [*map(vocab.decode, rows.tokens)] for part, rows in found.parts().items()}
    every = different(0, 8, 40)
    assert texts == {"train": every[:2] + every[4:6], "validation": every[2:4], "test": every[6:]}
    assert found.classes == ("0", "1") and found.notes["remarks"] == ["every row names its split"]


@pytest.mark.parametrize(
    ("files", "words"),
    [(["own.csv"], "12345678"), (["own/train.csv", "own/test.csv"], ["test"] * 8)],
)
def test_a_column_of_splits_that_is_not_used_is_said_to_be_ignored(tmp_path, files, words):
    for file in files:
        divided(tmp_path / file, words, "fold")
    for counts in load(tmp_path).notes["read"].values():
        (said,) = (text for text in counts if "column of splits is ignored" in text)
        assert counts[said] == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train train train train test test test holdout".split(), "row 8: split 'holdout'"),
        (["train"] * 5 + ["", "test", "test"], "row 6: split ''; write train, validation, test"),
    ],
)
def test_a_row_without_a_known_split_beside_rows_that_have_one_is_refused(tmp_path, words, said):
    with pytest.raises(ValueError, match=f"own.csv, {said}"):
        load(divided(tmp_path / "own.csv", words))


def test_a_column_of_splits_that_is_asked_for_as_the_label_is_the_label(tmp_path):
    path = divided(tmp_path / "own.csv", ["train", "test"] * 4)
    reading = tasks.Reading(tasks.Columns(label="split", labels=(("train", 0), ("test", 1))))
    assert sum(tasks.read(tasks.find(path, "own"), reading).notes["rows"]["train"]) == 6


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
@pytest.mark.parametrize(
    "head",
    ["chrom,start,end", "Chromosome,Start,Stop", "chr,chromStart,chromEnd", "seqnames,start,end"],
)
@pytest.mark.parametrize("named", ["", ",name"])
def test_columns_of_coordinates_keep_neighbours_together_and_that_is_said(tmp_path, head, named):
    texts = different(0, 400, 40)
    rows = [(t, i % 2, "chrX", 20 * i, 20 * i + 30) for i, t in enumerate(texts)]
    rows = [(*row, f"id{row[3]}") if named else row for row in rows]
    head = f"sequence,label,{head}{named}\n"
    found = load(table(tmp_path / "own.csv", rows, head))
    said = "rows with coordinates in columns, which keep neighbours together"
    assert found.notes["read"]["rows"] == {"rows": 400, said: 400}
    assert "a block of the highest positions; 1 of them overlap" in found.notes["remarks"][0]
    assert found.test.names[-1] == "chrX:7980-8010" + " id7980" * bool(named)
    wrong = [(*row[:3], "x", *row[4:]) for row in rows]
    found = load(table(tmp_path / "own.csv", wrong, head))
    said = "rows whose columns start and end are ignored: not whole numbers start < end"
    assert found.notes["read"]["rows"] == {"rows": 400, said: 400}
    assert found.test.names[0].startswith("chrX:row ")


@pytest.mark.parametrize("column", ["coordinates", "region", "locus"])
def test_a_column_of_places_is_the_name(tmp_path, column):
    rows = [(t, i % 2, f"chr{1 + 19 * (i > 5)}:5-9") for i, t in enumerate(different(0, 12, 20))]
    found = load(table(tmp_path / "own.csv", rows, f"sequence,label,{column}\n"))
    assert of(found.test) == {"chr20"}


def test_the_column_of_chromosomes_holds_out_whatever_a_name_looks_like(tmp_path):
    rows = [
        (t, i % 2, f"chr{1 + 19 * (i > 5)}", f"gene:{i}-{i + 9}")
        for i, t in enumerate(different(0, 12, 20))
    ]
    found = load(table(tmp_path / "own.csv", rows, "sequence,label,chrom,name\n"))
    assert of(found.test) == {"chr20"} and found.test.names[0] == "chr20:row 7 gene:6-15"


@given(st.lists(st.sampled_from(["chr1", "chr2", "chr20", "chr21"]), min_size=4, max_size=30))
def test_dividing_a_table_loses_and_doubles_no_row(tmp_path, chromosomes):
    texts = different(0, len(chromosomes), 20)
    rows = [(text, i % 2, c) for i, (text, c) in enumerate(zip(texts, chromosomes, strict=True))]
    path = table(tmp_path / "own.csv", rows)
    try:
        found = load(path)
    except ValueError as error:
        assert "a class is missing" in str(error) or "too few different" in str(error)
        return
    assert len(found.train.labels) + len(found.test.labels) == len(chromosomes)
    assert not {*found.train.names} & {*found.test.names}
    assert of(found.train) <= {"chr1", "chr2"}


@pytest.mark.parametrize("part", ["train", "test", "dev"])
def test_a_part_that_is_alone_is_divided_and_notes_say_so(tmp_path, part):
    table(tmp_path / f"own.{part}.csv", several("x", 40))
    found = load(tmp_path)
    name = "validation" if part == "dev" else part
    assert found.notes["remarks"] == [
        f"all rows come from the {name} split; 4 of 40 (10.0%) are test rows, "
        "the same share of each class, drawn at random"
    ]
    assert (len(found.train.labels), len(found.test.labels)) == (36, 4)


@pytest.mark.parametrize(("missing", "other"), [("train", "test"), ("test", "train")])
def test_a_dev_part_replaces_a_missing_one(tmp_path, missing, other):
    table(tmp_path / f"own.{other}.csv", several("1"))
    table(tmp_path / "own.dev.csv", several("1 2"))
    found = load(tmp_path)
    assert found.validation is None and len(getattr(found, missing).labels) == 4
    said = f"there is no {missing} split: {missing} rows come from the validation split"
    assert found.notes["remarks"] == [said]


@pytest.mark.promise("Bad input: a class without train rows is refused, without others reported")
@pytest.mark.parametrize(
    ("train", "dev", "test", "said"),
    [
        ("012", "012", "01", ["no test row is of class 2; test scores"]),
        ("012", "01", "012", ["no validation row is of class 2; validation scores"]),
        ("01", "012", "012", r"a class has no train rows \(0: 1, 1: 1, 2: 0\); each class"),
        ("02", "02", "2", r"\(0: 1, 1: 0, 2: 1\); .* --labels=0=0,2=1$"),
        ("02", "02", "12", r"\(0: 1, 1: 0, 2: 1\); each class needs some$"),
        ("0", "0", "0", "all rows are of class 0; a task needs rows of two or more$"),
        ("12", "12", "2", ["no test row is of class 1; test scores"]),
        ("12", "12", "02", r"\(0: 0, 1: 1, 2: 1\)"),
    ],
)
def test_a_class_needs_train_rows_and_one_without_others_is_said(tmp_path, train, dev, test, said):
    for name, labels in {"train": train, "dev": dev, "test": test}.items():
        table(tmp_path / f"own.{name}.csv", [("AC", label, 1) for label in labels])
    if isinstance(said, str):
        with pytest.raises(ValueError, match=f"own.train.csv, task own: .*{said}"):
            load(tmp_path)
        return
    remarks = load(tmp_path).notes["remarks"]
    assert [r[: len(s)] for r, s in zip(remarks, said, strict=True)] == said


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
@pytest.mark.parametrize(
    ("train", "test", "read", "said"),
    [
        ("123", "331", [2, 2, 0], "; labels 1 to 3 are read as classes from 0"),
        (["00", "01", "02"], ["02", "01"], [2, 1], ""),
    ],
)
def test_labels_that_begin_with_1_are_classes_from_0_of_the_same_name_and_that_is_said(
    tmp_path, train, test, read, said
):
    for name, labels in {"train": train, "test": test}.items():
        table(tmp_path / f"own.{name}.csv", [("AC", label, 1) for label in labels])
    found = load(tmp_path)
    assert found.test.labels.tolist() == read
    assert found.classes == tuple(str(int(label)) for label in train)
    assert found.notes["numbering"] == f"numbers in the files{said}"


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
def test_no_label_map_is_proposed_that_another_file_would_refuse(tmp_path):
    table(tmp_path / "own.train.csv", [("AC", label, 1) for label in "01"])
    table(tmp_path / "own.test.csv", [("AC", label, 1) for label in ("no", "yes")])
    said = "own.test.csv, row 1: .*; another file has labels such as '0'"
    with pytest.raises(ValueError, match=said):
        load(tmp_path)


def test_train_rows_on_held_out_chromosomes_are_kept_and_counted(tmp_path):
    table(tmp_path / "own/train.csv", several("chr1 chr20 chr21"))
    table(tmp_path / "own/test.csv", several("chr1"))
    found = load(tmp_path)
    assert len(found.train.labels) == 6
    assert "4 train rows are on chr20, chr21, chr22" in found.notes["remarks"][0]


@pytest.fixture
def texts(tmp_path) -> Path:
    """A folder with one task of texts of three classes."""
    for part in ("train", "test"):
        for name, letter in {"ocr": "A", "enhancer": "C", "promoter": "G"}.items():
            written(tmp_path, letter * 4, f"own/{part}/{name}/0.txt")
    return tmp_path


def test_classes_of_texts_are_numbered_by_sorted_name_or_by_a_label_map(texts):
    found = load(texts)
    assert found.classes == ("enhancer", "ocr", "promoter")
    assert found.notes["numbering"] == "class folders sorted by name"
    assert found.train.names == ("enhancer/0.txt", "ocr/0.txt", "promoter/0.txt")
    assert found.train.labels.tolist() == [0, 1, 2]
    labels = (("promoter", 0), ("enhancer", 1), ("ocr", 2))
    (texts / "own" / "train").rename(texts / "own" / "Train")
    found = load(texts, columns=Columns(labels=labels))
    assert found.train.labels.tolist() == [1, 2, 0] and found.notes["numbering"] == "label map"
    assert found.classes == ("promoter", "enhancer", "ocr")
    with pytest.raises(ValueError, match="label is 'ocr'; .* promoter, enhancer"):
        load(texts, columns=Columns(labels=labels[:2]))


def test_parts_with_other_classes_or_with_one_class_are_refused(texts):
    (texts / "own/test/promoter").rename(texts / "own/test/c")
    with pytest.raises(ValueError, match=r"no train rows \(c: 0, enhancer: 1, "):
        load(texts)
    for folder in ("train/enhancer", "train/ocr", "test/enhancer", "test/ocr"):
        shutil.rmtree(texts / "own" / folder)
    (texts / "own/test/c").rename(texts / "own/test/promoter")
    with pytest.raises(ValueError, match="the only class is promoter; .* two or more"):
        load(texts)


@pytest.fixture
def intervals(tmp_path, monkeypatch):
    """A folder with a task of intervals, their FASTA file, and its bases."""
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))
    bases = "".join(np.random.default_rng(0).choice(list("ACGT"), 90))
    (tmp_path / "ref.fa").write_text(f">chr1\n{bases}\n>chr20\n{bases[::-1]}\n")
    for part in ("train", "test"):
        for i, name in enumerate(("positive", "negative")):
            rows = [(j, "chr1", 9 * j + i, 9 * j + i + 6, "+-"[j % 2]) for j in range(8)]
            rows += [(9, "chr7", 0, 5, "+"), (10, "chr20", i, 5, "+")]
            table(tmp_path / f"set/own.{part}.{name}.csv", rows, "id,region,start,end,strand\n")
    return tmp_path / "set", str(tmp_path / "ref.fa"), bases


def test_intervals_are_read_from_the_reference(intervals):
    folder, reference, bases = intervals
    found = load(folder, reference=reference, skip_missing=True)
    assert found.classes == ("negative", "positive")
    assert found.notes["numbering"] == "class tables sorted by name"
    assert found.train.labels.tolist() == [0] * 9 + [1] * 9
    assert vocab.decode(found.train.tokens[0]) == bases[1:7]
    missing = "intervals on contigs missing from the reference, skipped"
    assert found.notes["read"]["train"] == {"rows": 18, missing: 2}
    assert found.notes["remarks"][0].startswith("2 train rows are on chr20")
    both = load(folder, reference=f"negative={reference},positive={reference}", skip_missing=True)
    assert np.array_equal(found.train.tokens, both.train.tokens)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("", "[/].*: intervals contain no sequence; give their genome: --reference genome.fa"),
        ("{}", "negative.csv: 1 of 10 rows .*chr7:0-5. .* ref.fa,"),
        ("human={}", "--reference names human, .* negative, positive"),
    ],
)
def test_intervals_need_a_reference_that_has_them(intervals, reference, message):
    folder, path, _ = intervals
    with pytest.raises(ValueError, match=message):
        load(folder, reference=reference.format(path))


def test_a_label_map_numbers_the_classes_of_intervals_and_their_names(intervals):
    folder, reference, _ = intervals
    how = {"reference": reference, "skip_missing": True}
    found = load(folder, columns=Columns(labels=(("positive", 0), ("negative", 1))), **how)
    assert found.train.labels.tolist() == [1] * 9 + [0] * 9
    assert all(name.endswith(f"|{x}") for name, x in zip(found.train.names, found.train.labels))
    with pytest.raises(ValueError, match="label is 'positive'.*the label map .* negative, other"):
        load(folder, columns=Columns(labels=(("negative", 0), ("other", 1))), **how)


def test_a_reference_for_rows_that_have_sequence_is_refused(own, intervals):
    with pytest.raises(ValueError, match="--reference a.fa .* a file for each part"):
        load(own, reference="a.fa")
    with pytest.raises(ValueError, match="--skip-missing is for intervals, .* each part"):
        load(own, skip_missing=True)
    with pytest.raises(ValueError, match="--name-column id is for tables, .* intervals of each"):
        load(intervals[0], columns=Columns(name="id"), reference=intervals[1])
