"""Every layout in which tasks are shared is found; task names are safe in file names."""

from pathlib import Path

import polars as pl
import pytest
from made_files import compress

from birdiedna import tasks
from birdiedna.tasks import layouts, tables

ROWS = "sequence,label\nAC,0\nGT,1\n"
COMBINED = "sequence,label,task\nAC,0,one\nGT,1,one\nTT,0,two\nTA,1,two\n"
FNA = ">a|0\nAC\n>b|1\nGT\n"
HUB = "train-00000-of-00001-0a1b.parquet", "test-00000-of-00001.parquet"  # each in one piece
PARTS = "train", "test"
INTERVALS = "id,region,start,end,strand\n0,chr1,5,9,+\n"


def made(root: Path, *files: str, text: str = ROWS) -> Path:
    """Write files of rows below a folder; .gz is compressed, .parquet is parquet."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".parquet"):
            pl.read_csv(text.encode()).write_parquet(path)
        else:
            content = (FNA if ".fna" in name else text).encode()
            path.write_bytes(compress(content) if name.endswith(".gz") else content)
    return root


def found(root: Path) -> dict[str, dict]:
    """Return task -> split -> file, relative to the folder, or the classes of the split."""
    return {
        name: {
            part: str(classes[""].relative_to(root)) if "" in classes else sorted(classes)
            for part, classes in source.files.items()
        }
        for name, source in layouts.find_all(root).items()
    }


@pytest.mark.parametrize("suffix", layouts.SUFFIXES)
def test_a_folder_for_each_task_as_nucleotide_transformer_has_it(tmp_path, suffix):
    made(tmp_path, f"a/train{suffix}", f"a/test{suffix}")
    assert found(tmp_path) == {"a": {"train": f"a/train{suffix}", "test": f"a/test{suffix}"}}


def test_task_folders_of_parquet_are_filtered_by_their_task(tmp_path):
    made(tmp_path, "one/train.parquet", "one/test.parquet", text=COMBINED)
    assert layouts.find_all(tmp_path)["one"].task == "one"
    assert tasks.read(tasks.find(tmp_path, "one")).train.labels.tolist() == [0, 1]


def test_of_many_tasks_a_refusal_names_thirty_and_how_many_more_there_are(tmp_path):
    made(tmp_path, *(f"t{n}/{part}.csv" for n in range(40) for part in PARTS))
    with pytest.raises(ValueError, match=r"choose one of t0, .* and 10 more$"):
        layouts.find(tmp_path, "none")
    table = "sequence,label,task\n" + "".join(f"AC,0,t{n}\n" for n in range(40))
    (tmp_path / "all.csv").write_text(table)
    with pytest.raises(ValueError, match="name one of t0, .* and 10 more$"):
        tables.read(tmp_path / "all.csv")


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
def test_a_table_of_several_tasks_contains_each_of_them(tmp_path, suffix):
    made(tmp_path, f"train{suffix}", f"test{suffix}", text=COMBINED)
    parts = {"train": f"train{suffix}", "test": f"test{suffix}"}
    assert found(tmp_path) == {"one": parts, "two": parts}
    assert tasks.read(tasks.find(tmp_path, "two")).test.names == ("row 3", "row 4")
    assert list(layouts.find_all(tmp_path / f"train{suffix}")) == ["one", "two"]


def test_a_task_may_lack_one_part_of_a_combined_table(tmp_path):
    made(tmp_path, "train.csv", text=COMBINED)
    made(tmp_path, "test.csv", text=COMBINED.replace("two", "one"))
    assert found(tmp_path)["two"] == {"train": "train.csv"}


@pytest.mark.parametrize("without", ["test.csv", "all.train.csv"])
def test_a_split_without_the_column_of_tasks_is_no_task_of_its_own(tmp_path, without):
    other = {"test.csv": "train.csv", "all.train.csv": "all.test.csv"}[without]
    made(tmp_path, without)
    made(tmp_path, other, text=COMBINED)
    with pytest.raises(ValueError, match=f"{without}: other files of its task have a column"):
        layouts.find_all(tmp_path)


def test_gue_has_a_dev_part_and_groups_of_sets(tmp_path):
    made(tmp_path, *(f"GUE/EMP/H3/{part}.csv" for part in ("train", "dev", "test")))
    made(tmp_path, "GUE/mouse/0/dev.csv", "GUE/mouse/0/test.csv")
    parts = {"validation": "mouse/0/dev.csv", "test": "mouse/0/test.csv"}
    assert found(tmp_path / "GUE")["mouse_0"] == parts
    assert list(found(tmp_path / "GUE")["EMP_H3"]) == ["train", "validation", "test"]
    assert list(found(tmp_path / "GUE" / "EMP" / "H3")) == ["H3"]


def test_flat_files_are_joined_by_set_and_by_what_follows_the_part(tmp_path):
    made(tmp_path, "a.test.csv.gz", "a.train.csv.gz", "a.dev.csv", "b.test.x.csv", "b.train.x.csv")
    made(tmp_path, "c.train_sample9.csv", "d.test.csv", "e.csv", "f.train.test.csv")
    assert found(tmp_path) == {
        "a": {"train": "a.train.csv.gz", "validation": "a.dev.csv", "test": "a.test.csv.gz"},
        "b.x": {"train": "b.train.x.csv", "test": "b.test.x.csv"},
        "c.sample9": {"train": "c.train_sample9.csv"},
        "d": {"test": "d.test.csv"},
        "e": {"rows": "e.csv"},
        "f.test": {"train": "f.train.test.csv"},
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("t/Train.csv t/TEST.csv", {"t": {"train": "t/Train.csv", "test": "t/TEST.csv"}}),
        ("t/training.csv t/Eval.csv", {"t": dict(train="t/training.csv", validation="t/Eval.csv")}),
        ("a_train.csv a_test.csv", {"a": {"train": "a_train.csv", "test": "a_test.csv"}}),
        ("a-Train.CSV a-dev.csv", {"a": {"train": "a-Train.CSV", "validation": "a-dev.csv"}}),
        ("train_a.csv test_a.csv", {"a": {"train": "train_a.csv", "test": "test_a.csv"}}),
        ("train.csv a.csv", {"train": {"rows": "train.csv"}, "a": {"rows": "a.csv"}}),
        ("a_test.csv a.csv", {"a": {"rows": "a.csv"}, "a_test": {"rows": "a_test.csv"}}),
        (f"a/{HUB[0]} a/{HUB[1]}", {"a": dict(train=f"a/{HUB[0]}", test=f"a/{HUB[1]}")}),
        ("t/train.csv t/test.csv t/._train.csv ._a.csv", {"t": {p: f"t/{p}.csv" for p in PARTS}}),
    ],
)
def test_splits_are_told_by_their_usual_names_and_hidden_files_are_none(tmp_path, files, expected):
    assert found(made(tmp_path, *files.split())) == expected


@pytest.mark.promise("Security: names from files never lead out of a folder")
def test_names_may_be_in_a_file_name(tmp_path):
    made(tmp_path, "all.csv", text=COMBINED.replace("one", "EMP/H3 [x]"))
    assert list(layouts.find_all(tmp_path)) == ["EMP_H3_x_", "two"]
    assert layouts.find_all(tmp_path)["EMP_H3_x_"].task == "EMP/H3 [x]"


def test_genomic_benchmarks_has_a_folder_of_texts_for_each_class(tmp_path):
    made(tmp_path, *(f"s/{p}/{c}/{i}.txt" for p in PARTS for c in "ba" for i in "12"))
    assert found(tmp_path) == {"s": {"train": ["a", "b"], "test": ["a", "b"]}}
    assert list(layouts.find_all(tmp_path / "s")) == ["s"]


@pytest.mark.parametrize("form", ["s.{}.{}.csv.gz", "s/{}/{}.csv.gz"])
def test_intervals_are_told_from_rows_by_their_header(tmp_path, form):
    made(tmp_path, *(form.format(p, c) for p in PARTS for c in "ba"), text=INTERVALS)
    assert found(tmp_path) == {"s": {"train": ["a", "b"], "test": ["a", "b"]}}
    assert layouts.find_all(tmp_path)["s"].layout == layouts.INTERVALS


@pytest.mark.parametrize(
    ("names", "text", "message"),
    [
        ("a.csv a.test.csv", ROWS, "a.train.csv and a.test.csv"),
        ("a.csv a.csv.gz", ROWS, "a.train.csv and a.test.csv"),
        ("a#b.csv a_b.csv", ROWS, r"two tasks 'a_b' \(a#b.csv, a_b.csv\); rename"),
        ("t/train.csv t/train.fna t/test.csv", ROWS, "train.fna: train.csv .* train rows"),
        ("t/train.csv t/dev.csv t/val.tsv t/test.csv", ROWS, "contains validation rows; del"),
        ("t/train.csv t/test.csv t/test-00000-of-00001.parquet", ROWS, "contains test rows"),
        ("t/train-00000-of-00002.parquet t/test.csv", ROWS, "several files; join .*train.parquet"),
        ("s.train.a.csv s/train/a.csv s.test.a.csv", INTERVALS, "the same rows; delete one"),
    ],
)
def test_files_that_may_hold_the_same_rows_or_task_are_refused(tmp_path, names, text, message):
    made(tmp_path, *names.split(), text=text)
    with pytest.raises(ValueError, match=message):
        layouts.find_all(tmp_path)


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
def test_rows_that_are_lost_are_named_although_other_tasks_are_whole(tmp_path, caplog):
    """A class without texts, a damaged or a lost table each hid rows without a word."""
    made(tmp_path, "whole/train.csv", "whole/test.csv", "half/train.csv", "set/half/test.csv")
    made(tmp_path, *(f"s/{p}/{c}/1.txt" for p in PARTS for c in "ab"))
    made(tmp_path, *(f"i.{p}.{c}.csv" for p in PARTS for c in "ab"), text=INTERVALS)
    assert list(layouts.find_all(tmp_path)) == ["i", "s", "whole"]
    assert [r.args[0].name for r in caplog.records] == ["half", "half"]
    (tmp_path / "i.test.a.csv").write_bytes(b"")
    (genome := tmp_path / "genome.fa").write_text(">chr1\nACGTACGTAC\n")
    for part in PARTS:
        (tmp_path / "s" / part / "b" / "1.txt").rename(tmp_path / "s" / part / "b" / "1.TXT")
    with pytest.raises(ValueError, match="i.test.a.csv: the file is empty"):
        tasks.read(tasks.find(tmp_path, "i"), tasks.Reading(reference=str(genome)))
    with pytest.raises(ValueError, match="b contains no .txt files"):
        tasks.read(tasks.find(tmp_path, "s"))
    (tmp_path / "whole" / "test.csv").unlink()
    (tmp_path / "whole" / "test.csv").symlink_to("lost.csv")
    with pytest.raises(FileNotFoundError, match="whole/test.csv: the link leads to no file"):
        layouts.find_all(tmp_path)


def test_rows_may_be_beside_intervals(tmp_path):
    made(tmp_path, *(f"s.{p}.{c}.csv" for p in PARTS for c in "ba"), text=INTERVALS)
    made(tmp_path, "t.train.chr20.csv", "t.test.chr20.csv")
    assert set(found(tmp_path)) == {"s", "t.chr20"}


def test_a_single_file_is_a_task_named_by_its_stem(tmp_path):
    for name in ("my.csv", "my.tsv", "my.parquet", "my.fna", "my.CSV"):
        assert list(layouts.find_all(made(tmp_path / name[-3:], name) / name)) == ["my"]
    with pytest.raises(ValueError, match="my.txt is not a file of labelled rows"):
        tasks.names(made(tmp_path, "my.txt") / "my.txt")


def test_a_task_that_a_mac_packed_is_named_as_it_is_typed(tmp_path):
    """Its archives write an accent as a letter of its own, which was replaced by `_`."""
    made(tmp_path, "e\u0301tude/train.csv", "e\u0301tude/test.csv")
    assert list(layouts.find_all(tmp_path)) == ["\u00e9tude"]


def test_genomes_hidden_files_and_other_files_are_no_tasks(tmp_path):
    (tmp_path / "genome.fna").write_text(">chr1\nACGT\n")
    made(tmp_path, ".hidden/train.csv", ".hidden/test.csv", "README.md", "a.csv")
    assert list(layouts.find_all(tmp_path)) == ["a"]
    made(tmp_path, "set/train/._yes.csv")
    assert layouts.interval_sets(tmp_path) == layouts.interval_sets(tmp_path / "none") == {}


def test_each_file_is_looked_at_once_however_many_tasks_are_read(tmp_path, monkeypatch):
    made(tmp_path, *(f"{name}/{part}.csv" for name in "abcdefgh" for part in PARTS))
    looked, header = [], tables.header
    monkeypatch.setattr(tables, "header", lambda path: looked.append(path) or header(path))
    for name in tasks.names(tmp_path):
        tasks.find(tmp_path, name)
    assert len(looked) <= 3 * 16
    (tmp_path / "a/train.csv").unlink()
    assert tasks.names(tmp_path) == [*"bcdefgh"]
    made(tmp_path, "b/train.csv", text=COMBINED)
    assert tasks.find(tmp_path, "b").task == "b"
