"""Windows never touch N or cross contigs, draws are uniform, positions hold beyond 2^31."""

import math
import mmap
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data import chromosomes
from birdiedna.data import genome as genomes
from birdiedna.objectives.mixture import sample as mix
from birdiedna.training import pretrain

CONTIGS = st.lists(st.text("ACGTNNN", max_size=40), min_size=1, max_size=5)


def made(*sequences: str) -> genomes.Genome:
    return genomes.from_sequences({f"chr{i + 1}": s for i, s in enumerate(sequences)})


def every_start(genome: genomes.Genome, length: int) -> list[int]:
    """All valid starts, by brute force."""
    return [
        c.start + i
        for c in genome.contigs
        for i in range(c.length - length + 1)
        if vocab.N not in genome.tokens[c.start + i : c.start + i + length]
    ]


def listed(windows: genomes.Windows) -> list[int]:
    """The starts described by `Windows`."""
    counts = np.diff(windows.cumulative.astype(np.int64), prepend=0)
    return [int(f) + i for f, n in zip(windows.first, counts, strict=True) for i in range(n)]


@pytest.mark.promise("Numbers: laws hold for random input")
@settings(max_examples=200)
@given(CONTIGS, st.integers(1, 12))
def test_windows_are_exactly_those_without_n_inside_one_contig(sequences, length):
    if not any(sequences):
        return
    genome = made(*sequences)
    wanted = every_start(genome, length)
    names = [c.name for c in genome.contigs]
    if wanted:
        assert listed(genomes.windows(genome, names, length)) == wanted
    else:
        with pytest.raises(ValueError, match="no window of"):
            genomes.windows(genome, names, length)


def test_too_long_a_window_is_refused_with_the_longest_stretch_and_a_remedy():
    said = "given sequences: no window of 9 bases in chr1: .* without N has 5; use .*--validation"
    with pytest.raises(ValueError, match=said) as caught:
        genomes.windows(made("ACGTNACGTA"), ["chr1"], 9)
    assert "\n" not in str(caught.value)


def test_draws_reach_all_windows_equally_often():
    windows = genomes.windows(made("ACGTANACG", "NNACGTNAC"), ["chr1", "chr2"], 2)
    starts = np.array(listed(windows))
    keys = jax.random.split(jax.random.key(0), 20_000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: genomes.draw(key, windows)))(keys))
    shares = np.array([(drawn == start).mean() for start in starts])
    assert shares.sum() == pytest.approx(1)
    spread = math.sqrt(1 / len(starts) / len(drawn))
    assert np.abs(shares - 1 / len(starts)).max() < 4 * spread


@pytest.mark.promise("Numbers: every position is right beyond 2^31 bases")
def test_draws_are_uniform_over_more_than_2_31_windows():
    first = np.array([0, 2_000_000_000, 2_500_000_000], np.uint32)
    counts = np.array([1_900_000_000, 400_000_000, 1_400_000_000])
    windows = genomes.Windows(first, np.cumsum(counts).astype(np.uint32))
    keys = jax.random.split(jax.random.key(1), 100_000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: genomes.draw(key, windows)))(keys))
    place = drawn.astype(np.int64)[:, None] - first.astype(np.int64)
    inside = (place >= 0) & (place < counts)
    assert inside.sum(1).tolist() == [1] * len(drawn)
    shares = inside.mean(0)
    np.testing.assert_allclose(shares, counts / counts.sum(), atol=0.006)
    halves = np.array([(place[:, k][inside[:, k]] < counts[k] / 2).mean() for k in range(3)])
    np.testing.assert_allclose(halves, 0.5, atol=0.02)


def test_fixed_starts_are_valid_spread_and_distinct():
    genome = made("ACGT" * 20 + "NNN" + "ACGT" * 20, "ACGTA" * 7)
    windows = genomes.windows(genome, ["chr1", "chr2"], 10)
    starts = genomes.fixed_starts(windows, 20)
    assert starts.dtype == np.uint32 and len(set(starts.tolist())) == 20
    assert set(starts.tolist()) <= set(every_start(genome, 10))
    ranks = [listed(windows).index(start) for start in starts.tolist()]
    assert set(np.diff(ranks)) <= {8, 9}


@pytest.mark.promise("Numbers: every position is right beyond 2^31 bases")
def test_fixed_starts_are_right_beyond_2_31():
    windows = genomes.Windows(np.array([100], np.uint32), np.array([4_000_000_000], np.uint32))
    expected = [500_000_100, 1_500_000_100, 2_500_000_100, 3_500_000_100]
    assert genomes.fixed_starts(windows, 4).tolist() == expected


def test_more_fixed_starts_than_windows_are_refused():
    said = "my.fa: 9 windows requested, 3 exist; use contigs with 6 more bases.*--validation"
    with pytest.raises(ValueError, match=said):
        genomes.fixed_starts(genomes.windows(made("ACGTA"), ["chr1"], 3), 9, "my.fa")
    for count in (0, 1.5):
        with pytest.raises(ValueError, match=f"my.fa: {count} windows requested; give 1 or more"):
            genomes.fixed_starts(genomes.windows(made("ACGTA"), ["chr1"], 3), count, "my.fa")


def untouched(size: int) -> np.ndarray:
    """Zeros that take memory only where they are written, also as an array of the device."""
    return np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE), np.uint8)


@pytest.mark.promise("Numbers: every position is right beyond 2^31 bases")
def test_cut_is_right_beyond_2_31_bases():
    length = 2**31 + 1000
    tokens = untouched(length)
    starts = np.array([5, 2**31 - 4, 2**31, 2**31 + 500, length - 8], np.uint32)
    for i, start in enumerate(starts.tolist()):
        tokens[start : start + 4] = vocab.C + i % 3
    expected = np.stack([tokens[start : start + 8] for start in starts.tolist()])
    device = jax.device_put(tokens, may_alias=True)
    cut = jax.jit(lambda tokens, starts: jax.vmap(lambda s: genomes.cut(tokens, s, 8))(starts))
    np.testing.assert_array_equal(cut(device, starts), expected)
    single = jax.jit(lambda tokens, start: genomes.cut(tokens, start, 8))
    for start, row in zip(starts, expected, strict=True):
        np.testing.assert_array_equal(single(device, start), row)


@pytest.mark.promise("Numbers: laws hold for random input")
@settings(max_examples=50)
@given(
    st.lists(st.integers(0, 20), min_size=24, max_size=24), st.sampled_from([np.uint8, np.int32])
)
def test_reverse_complement_is_that_of_the_host_and_leaves_other_ids_alone(ids, kind):
    tokens = np.array(ids, kind).reshape(2, 12)
    found = np.asarray(jax.jit(genomes.reverse_complement)(jnp.asarray(tokens)))
    assert found.dtype == kind
    np.testing.assert_array_equal(found, vocab.reverse_complement(tokens))
    others = (tokens < vocab.A) | (tokens > vocab.T)
    np.testing.assert_array_equal(found[:, ::-1][others], tokens[others])


@pytest.mark.promise("Bad input: test chromosomes are held out however a file names them")
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("chr20 20 chr20:1-1000 20:1-1000 chr20_KI270869v1_alt chr20.1 20.1 Chr20 CHR20", "chr20"),
        ("chromosome20 Chromosome_20 CHM13#0#chr20 CHR_HSCHR20_1_CTG1 CM000682.1", "chr20"),
        ("NC_000020.10 NC_000020.11:1-1000 NC_060944.1:1-9", "chr20"),
        ("gi|568815578|ref|NC_000020.11|", "chr20"),
        ("NC_000001.11 CM000663.2", "chr1"),
        ("chr3_42000000_44000000", "chr3"),
        ("NC_060932.1 chr08", "chr8"),
        ("CP068256.2 CM000684.2", "chr22"),
        ("X NC_060947.1 NC_000023.11", "chrX"),
        ("NC_000024.10 CM000686.2", "chrY"),
        ("chrMT CP068254.1", "chrM"),
        *((name, name) for name in ("chrUn_1", "20_scaffold", "scaffold_20", "NC_000025.7")),
        *((name, name) for name in ("NC_000913.3", "chr2L", "contig_20.1")),
        *((name, name) for name in ("NT_187361.1", "hs37d5")),
        ("NW_025791811.1", "chr20"),
        ("NT_187626.1 GL000210.1", "chr21"),
        ("KI270731.1 HG1311_HG2539_PATCH CHR_HSCHR22_1_CTG1", "chr22"),
        ("chr1_KI270706v1_random", "chr1"),
    ],
)
def test_contigs_and_scaffolds_belong_to_their_chromosome(names, expected):
    assert {chromosomes.chromosome(name) for name in names.split()} == {expected}


NAMINGS = {
    "RefSeq GRCh38": [f"NC_{i:06}.11" for i in range(1, 25)],
    "GenBank GRCh38": [f"CM{i:06}.2" for i in range(663, 687)],
    "RefSeq CHM13": [f"NC_{i:06}.1" for i in range(60925, 60949)],
    "Ensembl": [*map(str, range(1, 23)), "X", "Y"],
    "versions": [f"chr{i}.1" for i in (*range(1, 23), "X", "Y")],
    "words": [f"chromosome{i}" for i in (*range(1, 23), "X", "Y")],
    "capitals": [f"CHR{i}" for i in (*range(1, 23), "X", "Y")],
    "hs": [f"hs{i}" for i in (*range(1, 23), "X", "Y")],
    "hsa": [f"HSA{i}" for i in (*range(1, 23), "X", "Y")],
}


@pytest.mark.promise("Bad input: test chromosomes are held out however a file names them")
@pytest.mark.parametrize("naming", NAMINGS)
def test_test_chromosomes_are_held_out_however_the_genome_names_them(naming):
    names = NAMINGS[naming]
    genome = genomes.from_sequences({name: "ACGT" for name in names})
    split = genomes.split(genome, ["chr8"])
    assert split.held_out == tuple(names[19:22]) and split.validation == (names[7],)
    assert all(chromosomes.is_chromosome(name) for name in names)


def tables() -> genomes.Genome:
    names = ("chrX:0-4", "chrX:8-12", "NC_060932.1", "20", "chr22:5-9", "scaffold")
    return genomes.from_sequences({name: "ACGT" for name in names})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["chrX"], ["chrX:0-4", "chrX:8-12"]),
        (["X", "chrX:0-4"], ["chrX:0-4", "chrX:8-12"]),
        (["chrX:8-12"], ["chrX:8-12"]),
        (["8"], ["NC_060932.1"]),
        (["chr20", "scaffold"], ["20", "scaffold"]),
    ],
)
def test_contigs_are_found_by_any_common_name(asked, expected):
    assert [c.name for c in genomes.contigs_named(tables(), asked)] == expected


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("chr8:1-5,012", "5012"),
        ("chr1, chr8:4,000-5,000", "4000"),
        ("8:1-1,000,001,chr1", "1000001"),
    ],
)
def test_commas_and_blanks_divide_names_and_not_thousands(text, plain):
    names = "chr8:1-500", "chr1", "a-12", "345"
    assert genomes.listed_contigs("chr8:1-500,chr1 a-12, 345") == names
    with pytest.raises(ValueError, match=f"a comma .*; write {plain}$"):
        genomes.listed_contigs(text)


def test_contigs_whose_names_contain_commas_are_listed_like_others():
    odd = ("a,b", "a,bc", "c=d:1", "x|y", "a")
    genome = genomes.assemble(np.full(50, vocab.A, np.uint8), [(name, 10) for name in odd], "x")
    parts = tuple(f"{name}:2-5" for name in odd)
    assert genomes.listed_contigs(",".join((*odd, *parts)), genome) == (*odd, *parts)
    found = genomes.contigs_named(genome, (*odd, *parts))
    assert [contig.name for contig in found] == [*odd, *parts]


def test_split_keeps_held_out_chromosomes_out_of_training_and_takes_named_contigs_only():
    split = genomes.split(tables(), ["chr8"])
    assert split.held_out == ("20", "chr22:5-9")
    assert split.validation == ("NC_060932.1",)
    assert split.train == ("chrX:0-4", "chrX:8-12", "scaffold")
    assert genomes.split(tables(), ["chr8"], train=["chrX:0-4"]).train == ("chrX:0-4",)


@pytest.mark.parametrize("copy", ["8", "chr8_alt", "NC_000008.11", "chr8_KI270810v1_random"])
def test_a_whole_chromosome_for_held_out_loss_leaves_no_copy_of_it_in_training(copy):
    made = genomes.from_sequences({"chr8": "ACGT", copy: "ACGT", "chr1": "GGTT"})
    assert genomes.split(made, ["chr8"]) == (("chr1",), ("chr8", copy), ())


class Counted(str):
    """A name that counts its comparisons."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)


def test_a_split_of_many_contigs_compares_few_names():
    made = genomes.from_sequences({f"c{i}": "ACGT" for i in range(400)})
    contigs = tuple(contig._replace(name=Counted(contig.name)) for contig in made.contigs)
    split = genomes.split(replace(made, contigs=contigs), [c.name for c in contigs[::4]])
    assert len(split.train) == 300 and Counted.compared < 20 * 400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(validation=["chr9"]), "no contig 'chr9'"),
        (dict(validation=["chr8;chrX"]), "no contig 'chr8;chrX'"),
        (dict(validation=["chrX"], held_out=["chr20;chr8"]), "'chr20;chr8' is not a chromosome"),
        (dict(validation=["scaffold:1..2"]), "no contig .* write a part as chrX:0-4:1-4, or "),
        (dict(validation=["chr20"]), "20 cannot .* validation: .* held out"),
        (dict(validation=["chrX"], train=["chr22"]), "in training and held out"),
        (dict(validation=["chrX:0-4"], train=["chrX"]), "in training and validation"),
        (dict(validation=[]), "given for validation"),
        (
            dict(validation=["scaffold"], held_out="chrX 8 20 22".split()),
            "remains for training.*:4-4",
        ),
        (dict(validation=["X"], held_out="X 8 20 22 scaffold".split()), "all contigs .* held"),
        (dict(validation=["scaffold:2-3"], train=["scaffold:3-4"]), "in training and validation"),
        (dict(validation=["scaffold:1-2", "scaffold:2-3"]), "overlap; name"),
        (dict(validation=["scaffold:2-5"]), "scaffold:2-5 is not a part of scaffold.* has 4 bases"),
        (dict(validation=["scaffold:3-2"]), "scaffold:3-2 is not a part"),
        (dict(validation=["chrX:1-2"]), "no contig 'chrX:1-2'"),
        (dict(validation=["chrX"], held_out=["chr2O"]), "no contig 'chr2O'"),
    ],
)
def test_impossible_split_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        genomes.split(tables(), **arguments)


def test_a_part_of_a_contig_is_held_out_for_loss_and_the_rest_trained_on():
    made = genomes.from_sequences({"NC_000913.3": "ACGTTGCAAC", "chr20": "AC", "8": "GGTT"})
    split = genomes.split(made, ["NC_000913.3:3-5", "NC_000913.3:9-10", "chr8:1-2"])
    assert split.train == ("NC_000913.3:1-2", "NC_000913.3:6-8", "8:3-4")
    assert split.validation == ("NC_000913.3:3-5", "NC_000913.3:9-10", "8:1-2")
    parts = genomes.contigs_named(made, [*split.train, *split.validation])
    text = vocab.decode(made.tokens)
    assert [text[c.start : c.start + c.length] for c in parts] == "AC GCA TT GTT AC GG".split()
    starts = genomes.windows(made, split.train, 2)
    assert sum(np.diff([0, *starts.cumulative])) == 4
    whole = genomes.contigs_named(made, ["8:1-4", "NC_000913.3:1-10"])
    assert [c.name for c in whole] == ["8", "NC_000913.3"]
    for start, end in ((-3, 2), (3, 2), (2, 5)):
        with pytest.raises(ValueError, match=f"{start}:{end} is not in 0:4 of 8"):
            genomes.part_of(whole[0], start, end)


@pytest.mark.promise("Bad input: test chromosomes are held out however a file names them")
def test_a_part_of_a_contig_may_be_held_out_for_testing():
    made = genomes.from_sequences({"a": "ACGTTGCAAC" * 30, "8": "GGTT"})
    split = genomes.split(made, ["8"], held_out=["a:101-200", "chr22"])
    assert split == (("a:1-100", "a:201-300"), ("8",), ("a:101-200",))
    (chosen,) = genomes.default_validation(made, ("chr9",), ["a:101-200", "8"])
    train, validation, _ = genomes.split(made, [chosen], held_out=["a:101-200", "8"])
    assert train == ("a:1-100", "a:201-280")  # parts of contigs, not of parts
    left = genomes.contigs_named(made, [*train, *validation])
    bases = sorted(i for c in left for i in range(c.start, c.start + c.length))
    assert bases == [*range(100), *range(200, 300)] and chosen == "a:281-300"
    for wrong, said in ((["a:1-5", "a:5-9"], "overlap"), (["a:1-900"], "has 300 bases")):
        with pytest.raises(ValueError, match=said):
            genomes.split(made, ["8"], held_out=wrong)


@pytest.mark.promise("Bad input: any genome has contigs for held-out loss, without being asked")
@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ({"chr8": 9, "chr1": 90}, ["chr8"]),
        ({"chr1": 90, "NC_000008.11": 9, "chr20": 9}, ["chr8"]),
        ({"chr8": 100}, ["chr8:91-100"]),
        ({"NC_000913.3": 1000}, ["NC_000913.3:901-1000"]),
        ({"a": 92, "b": 8}, ["b"]),
        ({"a": 955, "b": 45}, ["a:856-955"]),
        ({"a": 60, "b": 8, "c": 30, "plasmid": 2}, ["c:21-30"]),
        ({f"acc{i}": 100 for i in range(6)}, ["acc5:41-100"]),
        ({f"s{i}": 100 + i for i in range(100)}, ["s99", "s98", "s97", "s96"]),
        ({"chr20": 500, "chr1": 100}, ["chr1:91-100"]),
    ],
)
def test_a_default_for_held_out_loss_suits_any_genome(lengths, expected):
    made = genomes.from_sequences({name: "A" * size for name, size in lengths.items()})
    found = genomes.default_validation(made, ("chr8",))
    assert list(found) == expected
    train, validation, held_out = genomes.split(made, found)
    bases = lambda names: sum(c.length for c in genomes.contigs_named(made, names))
    assert 0.04 < bases(validation) / bases((*train, *validation)) <= 0.1
    assert "chr20" not in (*train, *validation)


@pytest.mark.parametrize("bases", [2, 9])
def test_a_tiny_genome_is_divided_too_or_refused_with_what_is_needed(bases):
    made = genomes.from_sequences({"a": "A" * bases})
    assert genomes.default_validation(made, ()) == (f"a:{bases}-{bases}",)
    said = f"has {bases} bases without N; .* more than 9; give a long"
    with pytest.raises(ValueError, match=said):
        genomes.default_validation(made, (), least=9)


def test_n_does_not_count_in_the_default_for_held_out_loss():
    made = genomes.from_sequences({"a": "ACGT" * 250 + "N" * 700, "unknown": "N" * 900})
    assert genomes.default_validation(made, ("chr8",)) == ("a:901-1700",)


def test_fingerprint_depends_on_tokens_and_names():
    first = genomes.from_sequences({"a": "ACGT", "b": "AC"})
    others = [{"a": "ACGT", "b": "AG"}, {"a": "ACGT", "c": "AC"}, {"a": "ACGTA", "b": "C"}]
    assert first.fingerprint == genomes.from_sequences({"a": "ACGT", "b": "AC"}).fingerprint
    assert first.fingerprint not in [genomes.from_sequences(o).fingerprint for o in others]


@pytest.mark.parametrize(
    ("tokens", "lengths", "message"),
    [
        (np.uint8([]), [("a", 0)], "0 bases"),
        (np.uint8([8, 9]), [("a", 1)], "1 bases in contigs, but 2 tokens"),
        (np.uint8([8, 9]), [("a", 1), ("a", 1)], "'a' occurs twice"),
        *(
            (odd, [("a", 2)], "x: tokens are .*; give base ids, uint8 from 8 to 12")
            for odd in ([8, 9], np.array([8, 9]), np.uint8([8, 13]))
        ),
    ],
)
def test_a_genome_is_made_of_base_ids_in_contigs_that_add_up(tokens, lengths, message):
    with pytest.raises(ValueError, match=message):
        genomes.assemble(tokens, lengths, "x")


def test_order0_entropy_of_known_shares():
    genome = made("ACGT", "AAAANN", "AACG", "NNN")
    assert genomes.order0_entropy(genome, ["chr1"]) == pytest.approx(math.log(4))
    assert genomes.order0_entropy(genome, ["chr2"]) == pytest.approx(0)
    assert genomes.order0_entropy(genome, ["chr3"]) == pytest.approx(1.5 * math.log(2))
    with pytest.raises(ValueError, match="only N"):
        genomes.order0_entropy(genome, ["chr4"])


# Two bits a base.


@pytest.mark.promise("Numbers: laws hold for random input")
@settings(max_examples=25)
@given(st.text("ACGT", min_size=1, max_size=90), st.data())
def test_every_window_is_that_of_the_plain_genome(sequence, data):
    tokens = vocab.encode(sequence)
    length = data.draw(st.integers(1, len(tokens)))
    packed = jax.tree.map(jnp.asarray, genomes.pack(tokens))
    starts = np.arange(len(tokens) - length + 1)
    found = jax.jit(jax.vmap(lambda start: genomes.cut(packed, start, length)))(starts)
    np.testing.assert_array_equal(found, np.lib.stride_tricks.sliding_window_view(tokens, length))


@pytest.mark.parametrize("size", [1, 63, 64, 1_003])
def test_blocks_meet_without_a_seam_and_n_comes_back(tmp_path, monkeypatch, size):
    letters = "".join(np.random.default_rng(0).choice([*"ACGTNNN"], size))
    genome = made("N", letters, "", "NNA", letters[::-1], "N")
    whole = genomes.pack(genome.tokens)
    monkeypatch.setattr(genomes, "_BLOCK_BASES", 64)
    np.testing.assert_array_equal(genomes.pack(genome.tokens).bytes, whole.bytes)
    genomes.save(genome, tmp_path / "genome.npz")
    again = genomes.load(tmp_path / "genome.npz")
    np.testing.assert_array_equal(again.tokens, genome.tokens)
    assert again.contigs == genome.contigs


def test_a_quarter_of_the_bytes_and_n_stored_as_a():
    tokens = vocab.encode("ACGTN" * 800)
    found = genomes.pack(tokens)
    assert found.bytes.nbytes == 1_001
    np.testing.assert_array_equal(genomes.cut(found, 0, 5), vocab.encode("ACGTA"))


@pytest.mark.promise("Numbers: every position is right beyond 2^31 bases")
def test_packed_cut_is_right_beyond_2_31_bases():
    sparse = untouched(2**29 + 2)
    sparse[2**29 - 1 : 2**29 + 1] = [0b11_10_01_00, 0b00_01_10_11]
    found = genomes.cut(
        genomes.Packed(jax.device_put(sparse, may_alias=True)), jnp.uint32(2**31 - 3), 6
    )
    np.testing.assert_array_equal(found, vocab.encode("CGTTGC"))


@pytest.mark.promise("Same bits: packed bases train the same model as plain ones")
def test_batches_from_packed_bases_are_the_same(human):
    arm = tiny.ARMS["uniform"]
    arms = [replace(arm, base_bits=bits) for bits in (8, 2)]
    (plain, apart), (packed, also) = (pretrain._data(arm, human, arm.mixture()) for arm in arms)
    assert isinstance(packed.tokens, genomes.Packed) and plain.tokens.dtype == np.uint8
    jax.tree.map(np.testing.assert_array_equal, apart, also)
    ratios = jnp.full(len(arm.objectives), 1 / len(arm.objectives))
    draw = jax.jit(lambda key, corpus: mix(arm.mixture(), key, corpus, ratios, 64, True))
    for key in jax.random.split(jax.random.key(0), 5):
        jax.tree.map(np.testing.assert_array_equal, draw(key, plain), draw(key, packed))


def test_another_number_of_bits_is_refused():
    with pytest.raises(ValueError, match="base_bits 4 must be 8 or 2"):
        replace(tiny.PROFILE.pretrain["ntp"], base_bits=4)


@pytest.mark.parametrize(
    "use",
    [
        lambda genome, name: genomes.contigs_named(genome, name),
        lambda genome, name: genomes.windows(genome, name, 4),
        lambda genome, name: genomes.order0_entropy(genome, name),
        lambda genome, name: genomes.split(genome, name),
        lambda genome, name: genomes.split(genome, ("chr1",), name),
        lambda genome, name: genomes.split(genome, ("chr1",), train=name),
        lambda genome, name: genomes.default_validation(genome, name),
        lambda genome, name: genomes.default_validation(genome, ("chr1",), name),
    ],
)
def test_one_text_in_place_of_names_is_not_read_letter_by_letter(use):
    with pytest.raises(ValueError, match=r"'chr2' is one text; give a tuple .* as \('chr2',\)"):
        use(made("ACGT" * 9, "ACGT" * 9), "chr2")


@pytest.mark.parametrize(("names", "length"), [([], 4), (["chr1"], 0), (["chr1"], -1)])
def test_windows_of_no_contig_or_no_bases_are_refused(names, length):
    with pytest.raises(ValueError, match="give 1 or more"):
        genomes.windows(made("ACGT"), names, length)


def test_the_bases_of_a_genome_cannot_change_and_those_it_was_made_of_can():
    tokens = vocab.encode("ACGT")
    found = genomes.assemble(tokens, [("a", 4)], "x")
    with pytest.raises(ValueError, match="read-only"):
        found.tokens[0] = vocab.N
    tokens[0] = vocab.T


def test_genomes_are_equal_if_their_bases_and_contigs_are():
    one, again = made("ACGT"), replace(made("ACGT"), source="another file")
    assert one == again and hash(one) == hash(again)
    assert one != made("ACGA") and one != made("AC", "GT")
