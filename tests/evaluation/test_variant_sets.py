"""A weight matrix separates splice-site disruptions from their controls; short words cannot."""

import re

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from birdiedna import vocab
from birdiedna.data import sample
from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import variant_sets
from birdiedna.evaluation.variant_sets import Disruption, Sites
from birdiedna.tasks import find, read


@pytest.fixture(scope="module", params=["donor", "acceptor"])
def made(request):
    """Sites of the sample's train and test rows, and disruptions of the test sites."""
    task = read(find(sample.TASKS, f"splice_sites_{request.param}s"))
    known, asked = (variant_sets.sites(part, request.param) for part in (task.train, task.test))
    return known, asked, variant_sets.disruptions(asked)


def test_sites_of_both_strands_are_oriented_along_the_gene(made):
    for found in made[:2]:
        letters = found.windows[:, found.first : found.first + 2]
        assert (letters == vocab.encode({"donor": "GT", "acceptor": "AG"}[found.kind])).all()
        assert len(found.windows) > 100


def test_site_on_the_other_strand_gives_the_same_window():
    forward, backward = np.full((2, 600), vocab.A, np.uint8)
    forward[301:303] = backward[300:302] = vocab.encode("GT")  # as the benchmark cuts them
    rows = np.stack([forward, vocab.reverse_complement(backward), backward])
    labelled = Labelled(rows, np.full(3, 600, np.int32), np.ones(3, np.int32), ("",) * 3)
    windows = variant_sets.sites(labelled, "donor").windows
    assert len(windows) == 2 and (windows[0] == windows[1]).all()
    with pytest.raises(ValueError, match="rows of 500 bases"):
        variant_sets.sites(labelled._replace(tokens=rows[:, :500]), "donor")


def test_control_has_the_same_three_letters_and_change(made):
    _, asked, changed = made
    assert len(changed) > 0.9 * 2 * len(asked.windows)
    for site, control in zip(changed[::2], changed[1::2], strict=True):
        assert (site.label, control.label, site.pair) == (1, 0, control.pair)
        assert site.alt == control.alt != site.window[site.place]
        around = [d.window[d.place - 1 : d.place + 2].tolist() for d in (site, control)]
        assert around[0] == around[1]
        inward = 1 if asked.kind == "donor" else -1
        assert 30 <= inward * (control.place - asked.first) <= 60


def test_weight_matrix_separates_disruptions_from_controls_and_words_do_not(made, human):
    known, _, changed = made
    harm = {
        "matrix": variant_sets.matrix_scores(variant_sets.weight_matrix(known), changed),
        "words": variant_sets.word_scores(human.tokens, changed),
    }
    found = variant_sets.compared(changed, harm)
    matrix, words = found.rows(named=True)
    assert matrix["low"] > 0.8 and words["low"] < 0.5 < words["high"] + 0.05
    assert all(row["low"] <= row["auroc"] <= row["high"] for row in (matrix, words))


def test_words_are_counted_on_both_strands():
    window = vocab.encode("TTTTTTAACCTTTTTT")
    genome = vocab.encode("AACCGGGTTGGGT")
    change = Disruption(window, 7, vocab.C, 1, 0)
    (score,) = variant_sets.word_scores(genome, [change], k=3)
    before = 1 + 1  # AAC, and GTT
    after = 1 + 2  # ACC, and GGT twice
    assert score == pytest.approx(np.log(before + 1) - np.log(after + 1))


def test_auroc_equals_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels, scores = rng.integers(0, 2, 30), rng.integers(0, 6, 30)
        assert variant_sets.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    with pytest.raises(ValueError, match="both labels"):
        variant_sets.auroc(np.ones(3), np.arange(3))


def test_site_without_a_control_is_dropped():
    window = np.full((1, 200), vocab.A, np.uint8)
    window[0, 100:102] = vocab.encode("GT")
    assert variant_sets.disruptions(Sites("donor", window, 100)) == []


def test_labelled_tables_are_read_by_stratum_and_in_whole_pairs(tmp_path):
    path = tmp_path / "set.csv"
    rows = [f"c{i % 2},{i},A,C,{'' if i == 3 else i % 2},kind{i % 3}" for i in range(1, 40)]
    path.write_text("\n".join(["chrom,pos,ref,alt,label,consequence", *rows]))
    found = variant_sets.labelled(path, most=5)
    assert found.columns == "contig position ref alt label group stratum window".split()
    assert found.group_by("stratum").len()["len"].to_list() == [5, 5, 5]
    assert 3 not in found["position"] and found["label"].is_in([0, 1]).all()
    rare = [f"c,{i},A,C,{int(i % 100 == 0)},synonymous" for i in range(1, 3001)]
    path.write_text("\n".join(["chrom,pos,ref,alt,label,consequence", *rare]))
    kept = variant_sets.labelled(path, most=300)["label"]
    assert (kept.len(), kept.sum()) == (300, 30)  # not 3, too few for a comparison
    text = "pair_id,contig,contig_pos,chrom,pos,ref,alt,label\n1,w,7,c,9,A,C,1\n1,w,8,c,9,A,C,0"
    for name in ("pair_id", "group_id"):
        path.write_text(text.replace("pair_id", name))
        assert [row[:7] for row in variant_sets.labelled(path).rows()] == [
            ("w", 7, "A", "C", 1, 1, "all"),
            ("w", 8, "A", "C", 0, 1, "all"),
        ]
    path.write_text("chrom,pos,ref,alt,score\nc,1,A,C,0.5\n")
    with pytest.raises(ValueError, match="set.csv: no column 'label'"):
        variant_sets.labelled(path)


def test_a_labelled_table_is_read_in_any_case_and_wrong_fields_are_named(tmp_path):
    path = tmp_path / "set.csv"

    def read(rows, value="label", ends="\n"):
        path.write_bytes(f"CHROM,Pos,REF,alt,{value.upper()}\n{rows}".replace("\n", ends).encode())
        return variant_sets.labelled(path, value=value).sort("position").rows()

    for ends in ("\n", "\r\n"):
        rows = read("20,5,a,c,1.0\n20,6,A,C,\n20,7,G,T,0", ends=ends)
        assert [row[:5] for row in rows] == [("20", 5, "A", "C", 1), ("20", 7, "G", "T", 0)]
    assert [row[4] for row in read("1,5,A,C,-2\n1,6,A,C,NA\n1,7,A,C,0.5", "score")] == [-2, 0.5]
    for rows, value, said in [
        (
            "1,5,A,C,1\n1,6,A,C,benign",
            "label",
            "line 3: label 'benign' is not 1 (harmful), 0 (harm",
        ),
        ("1,5,A,C,2", "label", "line 2: label '2' is not 1"),
        ("1,5,A,C,1_0", "score", "line 2: score '1_0' is not a finite number"),
        ("1,5,A,C,inf", "score", "line 2: score 'inf' is not a finite number"),
        ("1,5.5,A,C,1", "label", "line 2: POS '5.5' is not a whole number"),
        ("1,5,A,C,1\n1,5", "label", "1 of 2 rows does not have the 5 fields"),
    ]:
        with pytest.raises(ValueError, match=f"set.csv.*{re.escape(said)}"):
            read(rows, value)
    path.write_text("chrom,pos,ref,alt,score,barcodes\n1,5,A,C,1,12\n1,6,A,C,1,\n1,7,A,C,1,many")
    with pytest.raises(ValueError, match="set.csv, line 4: barcodes 'many' is not a finite number"):
        variant_sets.labelled(path, value="score")


def test_rank_correlation_interval_covers_the_true_value():
    x = np.arange(50.0)
    value, low, high = variant_sets.spearman(x, np.exp(x))
    assert value == pytest.approx(1) and 0.999 < low <= high <= 1
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        one, other = rng.normal(size=(2, 60))
        value, low, high = variant_sets.spearman(one, 0.75**0.5 * one + 0.5 * other)
        inside += low <= 0.851 <= high  # Spearman of normal values: 6/pi asin(r/2), r = 0.866
    assert inside > 180
    assert np.isnan(variant_sets.spearman(np.ones(9), np.arange(9.0))).all()
