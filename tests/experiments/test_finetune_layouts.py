"""One command fine-tunes on real rows of every layout and reports what it read."""

import gzip
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import tiny
from made_files import SHARED, needs_shared
from made_rows import different

from birdiedna.experiments import profiles
from birdiedna.experiments.runs import open_runs
from birdiedna.experiments.sources import Sources, read_task
from birdiedna.tasks import Columns, Reading
from birdiedna.training import run_folder

TASKS = SHARED / "tasks"
COLUMNS = Columns("dna", "class", "id", (("no", 0), ("yes", 1)))


@pytest.fixture
def tuned(said):
    """Fine-tunes random weights; returns what the command prints and the manifest."""

    def run(*words: object) -> tuple[str, dict]:
        out = said("finetune", "--profile", "tiny", "--arm", "random", *words)
        return out, run_folder.read(Path(out.rsplit("run: ", 1)[1].strip()), "manifest")

    return run


@needs_shared
@pytest.mark.parametrize(
    ("path", "task", "rows", "notes"),
    [
        ("nt_revised", "promoter_all", [54, 7, 10], "all rows come from one table; 10 of 71"),
        ("nt_recipe/promoter_tata.csv.gz", "", [74, 8, 182], "are test rows, those on chr20"),
        ("nt_v1/H3.test.csv.gz", "", [1212, 135, 150], "all rows come from the test split; 150 of"),
        ("gb", "human_nontata_promoters.chr20X", [568, 65, 212], "388 train rows are on chr20"),
        ("gue", "mouse_3", [1904, 239, 239], "validation mouse_3.dev.csv.gz"),
    ],
)
def test_one_command_fine_tunes_on_real_rows_of(tuned, path, task, rows, notes):
    words = ["--task", task] if task else []
    out, manifest = tuned("--tasks", str(TASKS / path), *words, "--length", "48")
    assert notes in out and "rows cut to 48 bases" in out and "mcc" in out
    assert [manifest["rows"][part] for part in ("train", "validation", "test")] == rows
    assert {part: sum(n) for part, n in manifest["data_notes"]["rows"].items()} == manifest["rows"]
    assert manifest["reading"]["length"] == 48 and manifest["command"].endswith(" --length 48")
    assert str(SHARED) not in str(manifest)


def genuine_intervals(folder: Path) -> Path:
    """Official hg38 intervals inside the available piece of chr16, and that piece."""
    packed = SHARED / "genomes" / "human.softmasked_small.fa.gz"
    lines = gzip.decompress(packed.read_bytes()).decode().split(">")[1].splitlines()
    first, last = 186_964, 397_118
    (folder / "hg38.fa").write_text(f">chr16\n{'N' * first}{''.join(lines[1:])}\n")
    for part in ("train", "test"):
        for name in ("enhancer", "promoter"):
            table = f"human_ensembl_regulatory.{part}.{name}.csv.gz"
            text = gzip.decompress((TASKS / "gb_intervals" / table).read_bytes()).decode()
            head, *rows = text.splitlines()
            fields = [row.split(",") for row in rows]
            kept = [f for f in fields if f[1] == "chr16" and first <= int(f[2]) < int(f[3]) <= last]
            (folder / "sets").mkdir(exist_ok=True)
            lines = [head, *(",".join(f) for f in kept), "0,chr99,1,9,+"]
            (folder / "sets" / table).write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


@needs_shared
def test_one_command_fine_tunes_on_intervals_and_their_genome(tuned, tmp_path):
    folder = genuine_intervals(tmp_path)
    words = ["--tasks", str(folder / "sets"), "--reference", str(folder / "hg38.fa")]
    out, manifest = tuned(*words, "--skip-missing", "--length", "48")
    assert "classes: 0 enhancer, 1 promoter (class tables sorted by name)" in out
    assert "2 intervals on contigs missing from the reference, skipped" in out
    assert manifest["data_notes"]["rows"]["test"] == [1, 4]
    assert "rows with N" not in out and str(tmp_path) not in str(manifest)


def own_table(path: Path, length: int = 48) -> Path:
    texts = different(0, 60, length)
    rows = [f"x{i},{text},{'yes' if i % 2 else 'no'}" for i, text in enumerate(texts)]
    path.write_text("\n".join(["id,dna,class", *rows]))
    return path


def test_one_command_fine_tunes_on_a_table_with_other_columns(tuned, tmp_path):
    path = own_table(tmp_path / "mine.csv")
    given = ["--sequence-column", "dna", "--label-column", "class", "--name-column", "id"]
    out, manifest = tuned("--tasks", str(path), *given, "--labels", "no=0,yes=1")
    assert out.startswith("mine, one table: rows mine.csv\n  classes: 0 no, 1 yes (label map)\n")
    assert manifest["reading"]["labels"] == {"no": 0, "yes": 1}
    assert manifest["reading"]["columns"] == {"sequence": "dna", "label": "class", "name": "id"}
    assert manifest["command"].endswith(
        "--tasks mine.csv --sequence-column dna --label-column class --name-column id "
        "--labels no=0,yes=1"
    )
    sources = Sources(tasks=str(path), reading=Reading(COLUMNS))
    folder = open_runs("tiny", sources).finetuned("random", "mine")
    assert folder.name == manifest["name"]
    assert run_folder.read(folder, "config")["reading"] == manifest["reading"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([], "column 'dna'|needs `sequence` and `label`"),
        (["--labels", "no"], "label map: 'no' is not word=number; .*no=0,yes=1"),
        (["--length", "-1"], "length -1 is negative"),
        (["--sequence-column", "dan"], "no column 'dan'; did you mean 'dna'"),
        (["--task", "other"], "no task 'other' in .*choose one of mine"),
        (["--reference", "a.fa"], "--reference a.fa .* one table"),
    ],
)
def test_wrong_reading_options_are_refused_in_one_line(refused, tmp_path, words, why):
    path = own_table(tmp_path / "mine.csv")
    assert re.search(why, refused("finetune", "--profile", "tiny", "--tasks", path, *words))


def test_long_rows_are_refused_until_a_length_is_given(tmp_path):
    path = own_table(tmp_path / "long.csv", 4776)
    said = "60 of 60 rows have more than the 1,024 bases .* up to 4,776; .*--length 1024, or all"
    with pytest.raises(ValueError, match=said):
        read_task(tiny.PROFILE, Sources(tasks=str(path), reading=Reading(COLUMNS)), "long")
    for length, read in ((1024, 1024), (4776, 4776), (5000, 4776)):
        sources = Sources(tasks=str(path), reading=Reading(COLUMNS, length))
        assert read_task(tiny.PROFILE, sources, "long").train.tokens.shape[1] == read


def test_several_tasks_need_a_name(refused, tmp_path):
    (tmp_path / "all.csv").write_text("sequence,label,task\nAC,0,one\nAC,1,two\n")
    error = refused("finetune", "--profile", "tiny", "--tasks", tmp_path)
    assert "2 tasks; name one with --task: one, two" in error


def test_only_rows_of_one_length_are_cropped(tmp_path):
    for name, lengths in (("even", (300, 300)), ("odd", (300, 299))):
        texts = different(0, 60, 300)
        rows = [f"{text[: lengths[i % 2]]},{i // 2 % 2}" for i, text in enumerate(texts)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["sequence,label", *rows]))
    quick = profiles.PROFILES["quick"]
    sources = Sources(tasks=str(tmp_path))
    assert read_task(quick, sources, "even").crop == (0, 63)
    assert read_task(quick, sources, "odd").crop == ()
    asked = Sources(tasks=str(tmp_path), reading=Reading(length=300))
    assert read_task(quick, asked, "even").crop == ()


@needs_shared
def test_gue_sets_without_train_rows_take_them_from_dev():
    found = read_task(tiny.PROFILE, Sources(tasks=str(TASKS / "gue")), "EMP_H3")
    assert [len(part.labels) for part in found[:3]] == [1344, 153, 1497]
    assert "there is no train split: train rows come from the validation split" in str(found.notes)


@needs_shared
def test_rows_of_n_in_an_official_set_stay_and_are_counted():
    found = read_task(tiny.PROFILE, Sources(tasks=str(TASKS / "gue")), "prom_prom_300_all")
    assert found.notes["read"]["validation"]["rows with N"] > 0
    assert found.notes["read"]["validation"]["rows"] == 5920


def test_rows_that_changed_are_read_again_in_the_same_process(tmp_path):
    path, sources = own_table(tmp_path / "mine.csv"), Sources(tasks=str(tmp_path / "mine.csv"))
    sources = replace(sources, reading=Reading(COLUMNS))
    before = read_task(tiny.PROFILE, sources, "mine")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    after = read_task(tiny.PROFILE, sources, "mine")
    count = lambda task: sum(len(rows.labels) for rows in task.parts().values())
    assert count(after) == count(before) - 2


def test_texts_that_changed_are_read_again_in_the_same_process(tmp_path):
    for part, label in product(("train", "test"), ("no", "yes")):
        folder = tmp_path / "mine" / part / label
        folder.mkdir(parents=True)
        for i, text in enumerate(different(part == "test", 20, 30)):
            (folder / f"{i}.txt").write_text(text + "AC" * (label == "no"))
    sources = Sources(tasks=str(tmp_path))
    before = read_task(tiny.PROFILE, sources, "mine")
    (tmp_path / "mine" / "test" / "no" / "0.txt").write_text("G" * 40)
    after = read_task(tiny.PROFILE, sources, "mine")
    assert before.test.lengths.max() == 32 and after.test.lengths.max() == 40
