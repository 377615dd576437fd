"""Variants are scored by the model's objectives; alleles that disagree are listed, not scored."""

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import compress, written

from birdiedna import vocab
from birdiedna.data import fasta, intervals, labelled
from birdiedna.data import variants as data_variants
from birdiedna.evaluation import variant_sets
from birdiedna.evaluation.variant_sets import Disruption
from birdiedna.experiments import models
from birdiedna.inference import labelled_variants, variants
from birdiedna.inference.variants import Edit
from birdiedna.objectives import mixture
from birdiedna.objectives.definitions import MaskedTokens

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\n"


@pytest.fixture(scope="module")
def genome(own):
    return fasta.read(own.sources.genome)


def record(genome, position, alt, contig="first", size=1, name="."):
    """A line of VCF whose REF is that of the genome."""
    place = next(c for c in genome.contigs if c.name == contig).start + position - 1
    ref = vocab.decode(genome.tokens[place : place + size])
    return f"{contig}\t{position}\t{name}\t{ref}\t{alt}\t.\n"


@jax.jit
def _chances(net, row, prefix):
    return jax.nn.log_softmax(net(row, prefix)[0])


def chances(model, tokens, prefix):
    """Log-probabilities of each next token; pads behind them, which they do not see."""
    row = np.pad(tokens, (0, 64 - len(tokens)), constant_values=vocab.PAD)[None]
    return _chances(model.net, row, jnp.array([prefix]) if model.bidirectional else None)


def log_likelihood(model, before, label):
    """Log-likelihood of a label after some tokens, one prediction at a time."""
    found = chances(model, [*before, *label], len(before) - 1)[len(before) - 1 :]
    return float(found[np.arange(len(label)), np.asarray(label)].sum())


@pytest.mark.parametrize("arm", ["ntp", "birdie"])
@pytest.mark.parametrize(("ref", "alt"), [("A", "G"), ("ACGT", "A")])
def test_scores_are_log_likelihood_ratios_of_what_the_model_writes(request, arm, ref, alt):
    model = models.load(request.getfixturevalue(arm))
    rng = np.random.default_rng(0)
    left, right = (rng.integers(vocab.A, vocab.N, 20).astype(np.uint8) for _ in range(2))
    edit = Edit(left, vocab.encode(ref), vocab.encode(alt), right)
    (found,) = variants.likelihood_ratios(model, [edit], rows=3)
    turn = vocab.reverse_complement
    for score, (a, r, v, b) in zip(
        found, (edit, (turn(right), turn(edit.ref), turn(edit.alt), turn(left))), strict=True
    ):
        if arm == "ntp":
            of = lambda allele: log_likelihood(model, [vocab.START], [*a, *allele, *b])
        else:
            s = vocab.FIRST_SENTINEL
            prompt = [vocab.objective_id("infill_50_3"), *a, s, *b, vocab.START]
            of = lambda allele: log_likelihood(model, prompt, [s, *allele, vocab.EOS])
        assert score == pytest.approx(of(v) - of(r), abs=1e-3)


def test_every_allele_is_listed_and_those_that_disagree_have_no_score(ntp, genome, tmp_path):
    ref = vocab.decode(genome.tokens[499:500])
    other = next(letter for letter in "ACGT" if letter != ref)
    lines = [
        record(genome, 100, "A,C,G,T", name="rs1"),
        record(genome, 898, "GCAT", size=3),  # the last of 900 bases
        f"first\t500\t.\t{other}\t{ref}\t.\n",
        record(genome, 300, "<DEL>,"),
        record(genome, 300, "*"),
        record(genome, 1, "A" * 50),
        record(genome, 300, "A" * 51),
        "third\t5\t.\tA\tC\t.\n",
    ]
    path = written(tmp_path, compress((HEADER + "".join(lines)).encode()), "calls.vcf.gz")
    (found,) = variants.variants(models.load(ntp), genome, path)
    assert found["position"].to_list() == [100] * 4 + [898, 500, 300, 300, 300, 1, 300, 5]
    notes = found["note"].to_list()
    assert [bool(note) for note in notes] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1]
    assert notes[5] == f"REF is {ref} in own.fa" and "third" in notes[11]
    assert notes[7].startswith("ALT '' is not")
    assert [score is None for score in found["llr"]] == [bool(note) for note in notes]
    variants.check(written(tmp_path, HEADER + lines[2] * 10, "few.vcf"), genome)  # is no assembly's
    header = "##contig=<ID=first,length=900>\n##contig=<ID=second,length=7>\n" + HEADER
    variants.check(written(tmp_path, header + lines[0], "mine.vcf"), genome)  # has none on second
    with pytest.raises(ValueError, match="contig second has 7 bases in its header and"):
        variants.check(written(tmp_path, header + "second\t1\t.\tA\tC\n", "mine.vcf"), genome)
    unknown = data_variants.Variant("own", 3, ".", "N", "A", 0, vocab.encode("ACNGT"), 2)
    assert variants.scored(models.load(ntp), None, [unknown])["note"].to_list() == ["N in REF"]
    same = found.filter((pl.col("position") == 100) & (pl.col("ref") == pl.col("alt")))
    assert same["llr"].to_list() == [0.0]
    means = (found["llr_forward"] + found["llr_reverse"]) / 2
    np.testing.assert_allclose(found["llr"].drop_nulls(), means.drop_nulls())


@pytest.mark.promise("Bad input: variants of another assembly, or no VCF, are refused in one line")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEADER + "first\t5\t.\tA\n", "line 3: 4 columns"),
        (HEADER + "first\tx\t.\tA\tC\n", "line 3: POS 'x'"),
        (HEADER + "first\t5\t.\t?\tC\n", "line 3: REF '?'"),
        (HEADER, "no variant"),
        ("##contig=<ID=first,length=901>\n" + HEADER, "901 bases in its header and 900"),
        (HEADER + "chr9\t5\t.\tA\tC\n", "no contig 'chr9'"),
        ("chrom,pos,ref\nfirst,5,A\n", "no column 'alt'"),
        ("chrom,pos,ref,alt\nfirst,0,A,C\n", "line 2: POS '0'"),
        ("chrom,pos,ref,alt\nfirst,,A,C\n", "line 2: POS ''"),
        ("chrom,pos,ref,alt\nfirst,5,,C\n", "line 2: REF ''"),
        (HEADER + "first\t890\t.\tACGTACGTACGTACGT\tC\n" * 11, "11 of 11 alleles"),
    ],
)
def test_other_assemblies_and_files_are_refused_in_one_line(own, ntp, tmp_path, refused, text, why):
    path, out = written(tmp_path, text, "calls.vcf"), tmp_path / "out.csv"
    line = refused("variants", ntp, path, "--genome", own.sources.genome, "-o", out)
    assert why in line and "calls.vcf" in line and not out.exists()


def test_the_names_of_contigs_are_read_once_for_all_alleles(ntp, genome, tmp_path, monkeypatch):
    path = written(tmp_path, HEADER + record(genome, 100, "A,C,G,T") * 2000, "my.vcf")
    looked, usual = [], intervals._usual
    monkeypatch.setattr(intervals, "_usual", lambda name: looked.append(name) or usual(name))
    none = lambda _, edits, *__: np.zeros((len(edits), 2))
    monkeypatch.setattr(variants, "likelihood_ratios", none)
    assert len([*variants.variants(models.load(ntp), genome, path)]) > 5
    assert len(looked) < 4 * (len(genome.contigs) + 1)


def test_the_command_says_what_was_not_scored(own, ntp, genome, tmp_path, said):
    text = HEADER + record(genome, 10, "A") + record(genome, 10, "<dup>")
    path, out = written(tmp_path, text, "calls.vcf"), tmp_path / "out.csv"
    told = said("variants", ntp, path, "--genome", own.sources.genome, "-o", out)
    assert "2 alleles" in told and "not scored: 1, of which 0 because REF" in told
    assert pl.read_csv(out)["alt"].to_list() == ["A", "<dup>"]


def test_alleles_of_a_record_come_one_by_one(tmp_path):
    path = written(tmp_path, HEADER + "1\t7\trs\ta\tc,G\t.\n", "a.vcf")
    want = [("1", 7, "rs", "A", "C", 3), ("1", 7, "rs", "A", "G", 3)]
    assert [one[:6] for one in data_variants.read(path)] == want
    path.write_text("#CHROM\tPOS\tID\tREF\tALT\r1\t7\trs\ta\tc,G\r")  # no more of a header
    assert [one[:5] for one in data_variants.read(path)] == [one[:5] for one in want]
    path.write_text("#chrom\tpos\tref\talt\tid\n1\t7\ta\tc,G\trs\n")  # a table
    assert [one[:5] for one in data_variants.read(path)] == [one[:5] for one in want]


@pytest.mark.parametrize(
    ("suffix", "names"),
    [("csv", "chrom,pos,id"), ("tsv", "CHROM,POS,rsid"), ("parquet", "contig,position,name")],
)
def test_a_table_of_variants_is_scored_as_a_vcf_file_is(ntp, genome, tmp_path, suffix, names):
    lines = [record(genome, place, "A", name=f"rs{place}") for place in range(100, 110)]
    lines.append(record(genome, 110, "A", name="."))
    path, other = tmp_path / "calls.vcf", tmp_path / f"calls.{suffix}"
    path.write_text(HEADER + "".join(lines))
    rows = [line.replace("\t.\t", "\t\t").split("\t")[:5] for line in lines]
    frame = pl.DataFrame(rows, [*names.split(","), "ref", "alt"], orient="row")
    if suffix == "parquet":
        frame.with_columns(pl.col(frame.columns[1]).cast(pl.Int64)).write_parquet(other)
    else:
        frame.write_csv(other, separator="," if suffix == "csv" else "\t")
    model = models.load(ntp)
    found, want = (pl.concat(variants.variants(model, genome, file)) for file in (other, path))
    assert found.equals(want) and found["id"][0] == "rs100"


def test_sequences_of_a_table_stand_in_for_a_genome(ntp, genome, tmp_path, said, refused):
    place, pairs, out = 300, tmp_path / "pairs.csv", tmp_path / "out.csv"
    start = genome.contigs[0].start + place - 1
    window = vocab.decode(genome.tokens[start - 99 : start + 100])
    left, ref, right = window[:99], window[99], window[100:]
    others = [base for base in "ACGT" if base != ref]
    changed = [left + alt + right for alt in others]
    changed += [left + right[1:], left + "GGG" + ref + right, window]
    for head, rows in (
        ("ref_seq,ref,alt", [f"{window},{ref},{alt}" for alt in others]),
        ("chrom,pos,ref_seq,alt_seq", [f"first,{place},{window},{other}" for other in changed]),
    ):
        pairs.write_text("\n".join([head, *rows]) + "\n")
        said("variants", ntp, pairs, "-o", out)
        found = pl.read_csv(out)
        assert found["llr"].null_count() == 0 and found["alt"].to_list()[:3] == others
        lines = (record(genome, place, alt) for alt in others)
        path = written(tmp_path, HEADER + "".join(lines), "calls.vcf")
        want = pl.concat(variants.variants(models.load(ntp), genome, path))
        np.testing.assert_allclose(found["llr"][:3], want["llr"], atol=1e-4)
    assert found["llr"][-1] == 0.0 and len(found["ref"][3]) == 3 and len(found["alt"][4]) == 4
    (tmp_path / "na.csv").write_text("ref_seq,alt_seq\nACGT,NA\nNA,ACGT\n")
    for file, why in (
        (path, "no column 'ref_seq' in '##fileformat=VCFv4.2'; give --genome"),
        (tmp_path / "none.csv", "no such file"),
        (tmp_path / "na.csv", "line 2: a sequence is missing"),
    ):
        line = refused("variants", ntp, file, "-o", out)
        assert why in line and file.name in line


@given(st.text("ACGT", max_size=12), st.text("ACGT", min_size=1, max_size=5),
       st.text("ACGT", min_size=1, max_size=5), st.text("ACGT", max_size=12))  # fmt: skip
def test_the_change_between_two_sequences_makes_one_into_the_other(left, one, other, right):
    ref, alt = left + one + right, left + other + right
    was, becomes, at = data_variants._change(ref, alt)
    assert was and becomes and ref[at:].startswith(was)
    assert ref[:at] + becomes + ref[at + len(was) :] == alt
    assert len(was) <= len(one) + 1 and len(becomes) <= len(other) + 1


def test_labelled_variants_are_compared_within_their_class_by_model_scores(ntp, genome, tmp_path):
    model, path = models.load(ntp), tmp_path / "mine.csv"
    rng, lines = np.random.default_rng(0), ["contig,contig_pos,ref,alt,label,consequence"]
    alleles, changes = [], []
    for i, place in enumerate(range(100, 460, 6)):
        start = genome.contigs[0].start + place - 1
        ref = vocab.decode(genome.tokens[start : start + 1])
        alt = rng.choice([base for base in "ACGT" if base != ref])
        kind = "missense" if i < 20 else "rare" if i < 39 else "nonsense"
        alleles.append(data_variants.Variant("first", place, ".", ref, alt, 0))
        changes.append(Disruption(genome.tokens[:900], place - 1, vocab.encode(alt)[0], i % 2, 0))
        lines.append(f"first,{place},{ref},{alt},{int(kind == 'nonsense') or i % 2},{kind}")
    path.write_text("\n".join([*lines, "elsewhere,5,A,C,1,missense"]))
    found = labelled_variants.compare(path, [genome], {"NTP": model})
    (row,) = found.rows(named=True)  # the other classes have fewer than ten of a label
    assert (row["set"], row["stratum"], row["who"]) == ("mine", "missense", "NTP")
    assert (row["harmful"], row["harmless"]) == (10, 10)
    harm = -variants.scored(model, genome, alleles[:20])["llr"].to_numpy()
    want = variant_sets.auroc(np.array([i % 2 for i in range(20)]), harm)
    assert row["low"] <= row["auroc"] == want <= row["high"]
    np.testing.assert_allclose(labelled_variants.harm(model, changes[:20]), harm, atol=1e-4)
    path.write_text("\n".join([lines[0], *(line.replace("first,", "chr9,") for line in lines[1:])]))
    with pytest.raises(ValueError, match="mine.csv: in no class .* no genome given has chr9; give"):
        labelled_variants.compare(path, [genome], {"NTP": model})
    path.write_text("\n".join(lines[:9]))
    with pytest.raises(ValueError, match="fewest that are compared; give more, or take the file a"):
        labelled_variants.compare(path, [genome], {"NTP": model})


def test_measured_effects_are_correlated_within_their_element(ntp, genome, tmp_path):
    model, path, rng = models.load(ntp), tmp_path / "mpra.csv.gz", np.random.default_rng(0)
    lines = [record(genome, place, "A") for place in range(100, 160)]
    (tmp_path / "a.vcf").write_text(HEADER + "".join(lines))
    (scored,) = variants.variants(model, genome, tmp_path / "a.vcf")
    scored = scored.filter(pl.col("ref") != "A").rename({"contig": "chrom", "position": "pos"})
    made = scored.with_columns(
        score=pl.col("llr") + rng.normal(0, 1e-9, scored.height),
        barcodes=pl.Series([3] + [10] * (scored.height - 1)),
        element=pl.lit("one"),
    )
    whole = pl.concat([made, made[:9].with_columns(element=pl.lit("few"))])
    path.write_bytes(compress(whole.write_csv().encode()))
    (row,) = labelled_variants.correlate(path, [genome], {"NTP": model}).rows(named=True)
    assert (row["set"], row["stratum"], row["rows"]) == ("mpra", "one", scored.height - 1)
    assert 0.99 < row["effect_low"] <= row["effect"] <= 1 and row["size"] is not None


def test_a_folder_without_a_table_of_variants_is_refused_and_plain_csv_is_read(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no .csv or .csv.gz has a column label or score"):
        labelled_variants.tables(tmp_path)
    (tmp_path / "classes.csv").write_text("label,score\n1,2\n")
    (tmp_path / "effects.csv.gz").write_bytes(compress(b"score\n1\n"))
    (tmp_path / "._x.csv").write_bytes(b"\0\5\x16\7Mac OS X\xff\n\xff")  # of a Mac
    found = labelled_variants.tables(tmp_path)
    assert found == ([tmp_path / "classes.csv"], [tmp_path / "effects.csv.gz"])
    (tmp_path / "damaged.csv.gz").write_bytes(compress(b"score\n1\n")[:12])
    with pytest.raises(ValueError, match="damaged.csv.gz has no readable header"):
        labelled_variants.tables(tmp_path)


def test_masked_tokens_predict_an_allele_in_place_without_seeing_it(birdie):
    model = models.load(birdie)
    own = {"type": "MaskedTokens", "token": 33}
    model = model._replace(config=model.config | {"objectives": [["masked_15", own]]})
    left, right = vocab.encode("ACGTACGTTA"), vocab.encode("GGATC")
    edit = Edit(left, vocab.encode("CA"), vocab.encode("T"), right)
    ((forward, _),) = variants.likelihood_ratios(model, [edit], rows=3)

    def pseudo_likelihood(allele):
        row = [33, *left, *[vocab.MASK] * len(allele), *right, vocab.START]
        found = chances(model, row, len(row))[1 + len(left) :]
        return sum(float(found[i, base]) for i, base in enumerate(allele))

    want = pseudo_likelihood(edit.alt) - pseudo_likelihood(edit.ref)
    assert forward == pytest.approx(want, abs=1e-3)


def test_a_model_that_never_wrote_an_allele_is_refused(birdie, tuned, own):
    one = Edit(*(vocab.encode(letters) for letters in ("ACGT", "A", "C", "ACGT")))
    masked = models.load(birdie)
    masked = masked._replace(config=masked.config | {"objectives": [["copying", {}]]})
    for model, said in ((masked, "copying"), (models.load(tuned), "the classes of a task")):
        with pytest.raises(ValueError, match=f"was trained on {said}; variants are scored by"):
            variants.likelihood_ratios(model, [one])
    assert np.isfinite(variants.likelihood_ratios(models.load(birdie), [one], slots=8)).all()
    with pytest.raises(ValueError, match="allele of 1 bases does not fit in rows of 7 slots"):
        variants.likelihood_ratios(models.load(birdie), [one], slots=7)


def test_a_span_is_written_as_the_model_s_own_objective_writes_it(birdie):
    model = models.load(birdie)
    left, allele, right = map(vocab.encode, ("ACG", "T", "GGA"))
    s, e, start = vocab.FIRST_SENTINEL, vocab.EOS, vocab.START
    hidden = {"type": "Infilling", "rate": 0.5, "token": 17}
    for own, want in [
        ({"token": 18}, [18, *left, s, *right, start, s, *allele, e]),
        ({"token": None, "sentinel_first": False}, [*left, s, *right, start, *allele, s, e]),
    ]:
        objectives = [["more", hidden], ["less", hidden | {"rate": 0.15} | own]]
        asked = model._replace(config={"objectives": objectives})
        row = variants._writer(asked)(left, allele, right)
        assert row.tokens == want[:-1] and row.prefix == want.index(start)
        assert row.labels == [vocab.PAD] * row.prefix + want[row.prefix + 1 :]


def test_a_masked_row_is_one_of_those_that_the_objective_draws():
    window = vocab.encode("ACGTTGCAAA")  # of which the row holds the first eight
    masked = MaskedTokens(rate=1 / 8, masked=1.0, random=0.0)
    mixed = mixture.mix({"masked_15": masked}, 10)
    drawn = jax.jit(lambda key: mixture.row(mixed, key, jnp.int32(0), jnp.asarray(window)))
    batch = drawn(jax.random.key(0))
    (place,) = np.flatnonzero(np.asarray(batch.weights))
    at = place - 1
    alleles = window[:at], window[at : at + 1], window[at + 1 : 8]
    row = variants._in_place(masked.token, *alleles)
    tokens = labelled.padded([row.tokens], 10, np.int32)[0][0]
    assert tokens.tolist() == batch.tokens.tolist() and row.prefix == batch.prefix
    assert row.labels[place] == batch.labels[place]


@pytest.mark.parametrize(("place", "bases"), [(-1, 1), (4, 1), (3, 2), (2, -1)])
def test_bases_outside_the_window_are_not_edited(place, bases):
    with pytest.raises(ValueError, match="are not in a window of 4 bases"):
        variants.edit(vocab.encode("ACGT"), place, bases, vocab.encode("G"))
