"""The task table, the folders and the validation split."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import tasks, vocab
from birdiedna.batch import Labelled


def rows(names: list[str], labels: list[int]) -> Labelled:
    tokens = np.full((len(names), 4), vocab.A, np.uint8)
    lengths = np.full(len(names), 4, np.int32)
    return Labelled(tokens, lengths, np.array(labels, np.int32), tuple(names))


def on(chromosome: str, starts: range, width: int = 10) -> list[str]:
    return [f"{chromosome}:{start}-{start + width}|0" for start in starts]


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


def test_task_is_found_by_name_and_a_wrong_name_gets_the_list():
    assert tasks.task_named("H3K9me3").kind == "histone"
    with pytest.raises(
        ValueError, match="'splice_site_donors'.*did you mean 'splice_sites_donors'"
    ):
        tasks.task_named("splice_site_donors")


def test_folder_lists_complete_tasks_in_table_order(tmp_path):
    for name in ("own", "splice_sites_donors", "promoter_all"):
        write(tmp_path, name, "csv" if name == "own" else "fna")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.fna").write_text(">a|0\nAC\n")
    assert tasks.names(tmp_path) == ["promoter_all", "splice_sites_donors", "own"]


@pytest.mark.parametrize("suffix", ["fna", "csv"])
def test_load_gives_train_and_test(tmp_path, suffix):
    write(tmp_path, "own", suffix)
    train, test = tasks.load(tmp_path, "own")
    assert len(train.labels) == (3 if suffix == "fna" else 2)
    assert test.labels.tolist() == [0, 1]


def test_unknown_task_is_refused_with_those_of_the_folder(tmp_path):
    write(tmp_path, "promoter_all")
    with pytest.raises(ValueError, match="no task 'promoters_all'.*there are: promoter_all"):
        tasks.load(tmp_path, "promoters_all")


@pytest.mark.parametrize("ask", [tasks.names, lambda folder: tasks.load(folder, "promoter_all")])
def test_folder_without_tasks_is_refused_with_the_layout(tmp_path, ask):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        ask(tmp_path / "nowhere")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "train.fna").write_text(">a|0\nAC\n")
    with pytest.raises(ValueError, match="holds no <task>/train and <task>/test.*.fna") as caught:
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


def test_carve_takes_whole_chromosomes_where_there_are_several():
    names = [name for i in range(20) for name in on(f"chr{i + 1}", range(0, 100, 10))]
    train, validation = tasks.carve(rows(names, [0, 1] * 100))
    chromosomes = [{name.split(":")[0] for name in part.names} for part in (train, validation)]
    assert not chromosomes[0] & chromosomes[1]
    assert len(validation.labels) == 20 and len(train.labels) == 180


def test_carve_takes_the_last_block_of_a_single_chromosome():
    names = on("chrX", range(0, 1000, 10))
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    train, validation = tasks.carve(rows(shuffled, [0, 1] * 50))
    assert sorted(validation.names) == sorted(names[90:])
    assert sorted(train.names) == sorted(names[:90])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=20, max_size=80), st.integers(5, 200))
def test_no_window_of_training_overlaps_one_of_the_validation_block(starts, width):
    names = [f"chrX:{start}-{start + width}|0" for start in starts]
    places = tasks._places(names)
    mask = tasks._by_block(places, 0.2)
    ends = [place[2] for place, valid in zip(places, mask, strict=True) if not valid]
    begins = [place[1] for place, valid in zip(places, mask, strict=True) if valid]
    assert not begins or max(ends) <= min(begins)


@pytest.mark.parametrize(
    "names", [[f"row {i}" for i in range(50)], on("chrX", range(50), 500)], ids=["no", "overlap"]
)
def test_carve_without_usable_coordinates_draws_by_class(names):
    labels = [0] * 40 + [1] * 10
    train, validation = tasks.carve(rows(names, labels), 0.2)
    assert np.bincount(validation.labels).tolist() == [8, 2]
    assert np.bincount(train.labels).tolist() == [32, 8]


def test_carve_loses_and_doubles_no_row_and_depends_on_the_seed_alone():
    data = rows([f"row {i}" for i in range(40)], [0, 1] * 20)
    train, validation = tasks.carve(data, seed=1)
    assert sorted(train.names + validation.names) == sorted(data.names)
    assert tasks.carve(data, seed=1)[1].names == validation.names
    assert tasks.carve(data, seed=2)[1].names != validation.names


def test_carve_refuses_what_cannot_be_divided():
    with pytest.raises(ValueError, match="fraction 1.5 is outside"):
        tasks.carve(rows(["a", "b"], [0, 1]), 1.5)
    with pytest.raises(ValueError, match="2 rows cannot be divided"):
        tasks.carve(rows(["a", "b"], [0, 1]))
