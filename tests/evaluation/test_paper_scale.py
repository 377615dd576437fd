"""The paper's scale depends on configs and data; differences are named."""

from dataclasses import replace

import polars as pl
import pytest

from birdiedna.evaluation.paper_scale import official, scale
from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.experiments import profiles

PAPER = profiles.PROFILES["paper"]
ARMS = PAPER.pretrain
FEWER = replace(PAPER.finetune, steps=4_096)
ROWS = {row.task: row.test_rows for row in TABLE_1}
SEEDS = [(seed, run) for seed in range(3) for run in range(3)]


def judged(settings=PAPER, bases=3_117_292_070, rows=ROWS, seeds=SEEDS):
    runs = [(task, count, *pair) for task, count in rows.items() for pair in seeds]
    results = pl.DataFrame(runs, ["task", "rows", "seed", "finetune_seed"], orient="row")
    return scale(settings.pretrain, settings.finetune, settings.crops, bases, results)


def test_paper_profile_on_whole_genome_and_official_rows_is_at_the_papers_scale():
    assert judged() == ((), 3)
    assert judged(replace(PAPER, name="mine")).differences == ()  # names do not matter


def test_only_tasks_with_the_test_rows_of_their_benchmark_are_official():
    rows = pl.DataFrame({"task": [*ROWS], "test": [*ROWS.values()]})
    others = {"task": ["H3K9me3", "mine", "human_enhancers_cohn"], "test": [606, 850, 6948]}
    assert official(rows) == "14 of 14"
    assert official(pl.concat([rows, pl.DataFrame(others)])) == "15 of 17"


def paper(*changes, **fields):
    return {"settings": replace(profiles.profile("paper", changes), **fields)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (paper("finetune.patience_evaluations=8"), "patience evaluations 8 (paper: 0)"),
        (paper(finetune=FEWER), "fine-tuning steps 4,096 (paper: 8,192)"),
        (paper("pretrain.rows=64"), "pre-training rows 64 (paper: 128)"),
        (paper(crops={600: (0, 96)}), "rows that are cropped"),
        (paper(pretrain={"ntp": ARMS["ntp"]}), "arm is missing"),
        (paper(pretrain=ARMS | {"birdie": ARMS["ul2r"]}), "not those of the paper"),
        (paper("pretrain.birdie.bidirectional=false"), "not those of the paper"),
        (paper("pretrain.objectives.infill_50_3.rate=0.9"), "not those of the paper"),
        ({"bases": 70_000_000}, "a genome of 70,000,000 bases"),
        ({"rows": {k: v for k, v in ROWS.items() if k != "H2AFZ"}}, "1 of 14 tasks missing"),
        ({"rows": ROWS | {"promoter_all": 1_658}}, "not the official ones (Promoter All 1,658)"),
        ({"seeds": [(0, 0), (1, 0), (2, 0)]}, "fine-tuning seeds: 1 (protocol: 3)"),
    ],
)
def test_differences_from_the_papers_scale_are_named(given, expected):
    (difference,) = judged(**given).differences
    assert expected in difference


def test_quick_and_eighth_are_below_the_papers_scale_under_any_name():
    for name in ("quick", "eighth"):
        found = judged(replace(profiles.PROFILES[name], name="paper"))
        assert any("pre-training steps" in text for text in found.differences)
