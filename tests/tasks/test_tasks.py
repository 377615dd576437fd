"""The task table, the tasks of a folder, and what their notes tell."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdiedna import tasks
from birdiedna.tasks.tables import Columns


def write(folder: Path, name: str, suffix: str = "fna", test: str = ">a|0\nAC\n>b|1\nGT\n") -> None:
    (folder / name).mkdir()
    train = ">a|0\nAC\n>b|1\nGT\n>c|1\nGG\n"
    if suffix == "csv":
        train, test = (
            "sequence,label\n" + t.replace(">a|0\nAC", "AC,0").replace(">b|1\nGT", "GT,1")
            for t in (">a|0\nAC\n>b|1\nGT\n", test)
        )
    (folder / name / f"train.{suffix}").write_text(train)
    (folder / name / f"test.{suffix}").write_text(test)


def test_table_has_the_18_tasks_of_the_benchmark_and_the_decoys():
    names = [task.name for task in tasks.TASKS]
    assert len(names) == len(set(names)) == 19
    assert names[:4] == ["promoter_all", "promoter_no_tata", "promoter_tata", "splice_sites_donors"]
    assert names[-1] == "splice_sites_donors_decoy"
    assert {t.name for t in tasks.TASKS if t.classes == 3} == {
        "enhancers_types",
        "splice_sites_all",
    }
    lengths = {"promoter": 300, "splice": 600, "enhancer": 400, "histone": 1000}
    assert all(task.length == lengths[task.kind] for task in tasks.TASKS)


def test_folder_lists_complete_tasks_in_table_order(tmp_path):
    for name in ("own", "splice_sites_donors", "promoter_all"):
        write(tmp_path, name, "csv" if name == "own" else "fna")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.fna").write_text(">a|0\nAC\n")
    assert tasks.names(tmp_path) == ["promoter_all", "splice_sites_donors", "own"]


@pytest.mark.parametrize("suffix", ["fna", "csv"])
def test_load_gives_train_and_test(tmp_path, suffix):
    write(tmp_path, "own", suffix)
    train, validation, test, notes = tasks.load(tmp_path, "own")
    assert validation is None and notes["files"]["test"] == f"own/test.{suffix}"
    assert len(train.labels) == (3 if suffix == "fna" else 2)
    assert test.labels.tolist() == [0, 1]


def test_unknown_task_is_refused_with_those_of_the_folder(tmp_path):
    write(tmp_path, "promoter_all")
    message = "no task 'promoters_all'.*did you mean 'promoter_all'.*there are: promoter_all"
    with pytest.raises(ValueError, match=message):
        tasks.load(tmp_path, "promoters_all")


@pytest.mark.parametrize("ask", [tasks.names, lambda folder: tasks.load(folder, "promoter_all")])
def test_folder_without_tasks_is_refused_with_the_layout(tmp_path, ask):
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        ask(tmp_path / "nowhere")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.fna").write_text(">a|0\nAC\n")
    with pytest.raises(ValueError, match=r"holds no <task>/train .*half/ has one.*\.fna") as caught:
        ask(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (">a|0\nAC\n>b|2\nGT\n", r"test.fna, record 2 \(line 3\): label is '2'.*0..1"),
        (">a|1\nAC\n>b|1\nGT\n", "test.fna: a class has no rows"),
    ],
)
def test_classes_of_test_rows_must_be_those_of_training(tmp_path, test, message):
    write(tmp_path, "own", test=test)
    with pytest.raises(ValueError, match=message):
        tasks.load(tmp_path, "own")


def test_classes_of_a_known_task_are_those_of_the_table(tmp_path):
    write(tmp_path, "enhancers_types")
    with pytest.raises(ValueError, match="0: 1, 1: 2, 2: 0"):
        tasks.load(tmp_path, "enhancers_types")


def table(path: Path, rows: list[tuple[str, int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("sequence,label\n" + "".join(f"{s},{label}\n" for s, label in rows))
    return path


TRAIN = [("ACGTACGT", 0), ("GGGG", 1), ("GGGG", 1), ("TTTT", 0), ("CCCC", 1)]
TEST = [("GGGG", 0), ("AAAA", 1)]


@pytest.mark.promise("Bad input: what reading changes is counted and told")
def test_notes_tell_what_was_read_changed_and_repeated(tmp_path):
    table(tmp_path / "own" / "train.csv", TRAIN)
    table(tmp_path / "own" / "test.csv", TEST)
    found = tasks.load(tmp_path, "own", length=6)
    assert found.train.lengths.tolist() == [6, 4, 4, 4, 4]
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
            "train rows that repeat another": 1,
            "sequences with two labels": 1,
            "test rows whose sequence is in train": 1,
        },
    }
    json.dumps(found.notes)


def test_report_says_every_count_of_the_notes(tmp_path):
    table(tmp_path / "own" / "train.csv", TRAIN)
    table(tmp_path / "own" / "test.csv", TEST)
    lines = tasks.report(tasks.load(tmp_path, "own", length=6).notes)
    assert lines == [
        "a file for each part: train own/train.csv; test own/test.csv",
        "classes: 0, 1 (numbers in the files)",
        "train: 5 rows of 4 to 6 bases (4-4: 4, 6-6: 1); by class 0: 2, 1: 3",
        "test: 2 rows of 4 bases; by class 0: 1, 1: 1",
        "train as read: 1 rows cut to 6 bases; 2 bases cut off",
        "1 train rows that repeat another",
        "1 sequences with two labels",
        "1 test rows whose sequence is in train",
    ]


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=50))
def test_every_row_is_in_one_range_of_lengths(lengths):
    spans = tasks._ranges(np.array(lengths))
    assert sum(rows for *_, rows in spans) == len(lengths) and len(spans) <= 8
    assert (spans[0][0], spans[-1][1]) == (min(lengths), max(lengths))
    for low, high, rows in spans:
        assert sum(low <= length <= high for length in lengths) == rows


def test_a_length_cuts_every_part_alike(tmp_path):
    table(tmp_path / "own" / "train.csv", TRAIN)
    table(tmp_path / "own" / "test.csv", TEST)
    found = tasks.load(tmp_path, "own", length=3)
    assert found.train.tokens.shape[1] == found.test.tokens.shape[1] == 3
    whole = tasks.load(tmp_path, "own", length=9)
    assert "rows cut" not in str(whole.notes) and whole.train.lengths.max() == 8


def test_classes_have_the_words_of_the_label_map(tmp_path):
    path = table(tmp_path / "own.csv", [("AC", "no"), ("GT", "yes")] * 10)
    found = tasks.load(path, "own", Columns(labels=(("no", 0), ("yes", 1))))
    assert found.notes["classes"] == ["no", "yes"]
    assert found.notes["numbering"] == "label map"
    assert "classes: 0 no, 1 yes (label map)" in tasks.report(found.notes)
