"""The catalogue: genomes and benchmark tasks that can be fetched, with what is known of each.

A pin that is None is not known: the sha256 of the first download is recorded and compared from
then on. Nothing here was fetched while the catalogue was written; sizes and sums are published
ones. A local file always serves in place of an address, by the same checks.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

#: The chromosomes that are never pre-trained on: the benchmark tests on chr20 and chr21.
HELD_OUT = ("chr20", "chr21", "chr22")


class File(NamedTuple):
    """A file of an entry: its place in the entry's folder, mirrors, and pins where known."""

    path: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None


class Hub(NamedTuple):
    """A data set on the Hugging Face hub: `revision` is asked for, `commit` has to answer.

    `commit` is the start of a commit's hash where only that is known.
    """

    repo: str
    revision: str
    commit: str


class Rows(NamedTuple):
    """What a task should hold: length in bases (0: they differ), rows; `card` as published."""

    task: str
    length: int
    train: int
    test: int
    card: int | None = None


@dataclass(frozen=True)
class Entry:
    """Something that can be fetched: a genome (one FASTA file) or tasks (a folder of them).

    `contigs` are pairs of name and length in bases; with `choice` each has a file of its own.
    `tasks` names those of an archive, whose `layout` is "folders" as they lie, or "sets" as
    `<group>_<set>/{train,dev,test}.csv`.
    """

    name: str
    kind: str
    title: str
    files: tuple[File, ...]
    licence: str
    citation: str
    size: str = "unknown"
    contigs: tuple[tuple[str, int], ...] = ()
    choice: bool = False
    tasks: tuple[str, ...] = ()
    rows: tuple[Rows, ...] = ()
    held_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hub: Hub | None = None
    layout: str = ""


_NUCLEAR = (*(f"chr{i}" for i in range(1, 23)), "chrX", "chrY", "chrM")


def _lengths(text: str) -> tuple[tuple[str, int], ...]:
    """Lengths of chr1..22, X, Y, M as they stand in a table."""
    return tuple(zip(_NUCLEAR, map(int, text.split()), strict=True))


CHM13 = _lengths(
    "248387328 242696752 201105948 193574945 182045439 172126628 160567428 146259331 150617247 "
    "134758134 135127769 133324548 113566686 101161492 99753195 96330374 84276897 80542538 "
    "61707364 66210255 45090682 51324926 154259566 62460029 16569"
)
#: Of the UCSC files hg38 and hg19; the M of hg19 is not the one other programs know (16,569).
GRCH38 = _lengths(
    "248956422 242193529 198295559 190214555 181538259 170805979 159345973 145138636 138394717 "
    "133797422 135086622 133275309 114364328 107043718 101991189 90338345 83257441 80373285 "
    "58617616 64444167 46709983 50818468 156040895 57227415 16569"
)
GRCH37 = _lengths(
    "249250621 243199373 198022430 191154276 180915260 171115067 159138663 146364022 141213431 "
    "135534747 135006516 133851895 115169878 107349540 102531392 90354753 81195210 78077248 "
    "59128983 63025520 48129895 51304566 155270560 59373566 16571"
)

_S3 = "T2T/CHM13/assemblies/analysis_set/"
_T2T = "Nurk et al. 2022, The complete sequence of a human genome, Science 376:44-53"
_MASKED = "Lower case marks repeats; it is read as upper case."


def _analysis_set(file: str) -> tuple[str, ...]:
    return (
        f"https://s3-us-west-2.amazonaws.com/human-pangenomics/{_S3}{file}",
        f"https://human-pangenomics.s3.amazonaws.com/{_S3}{file}",
    )


def _named(names: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """The nuclear chromosomes of CHM13 by the names of another archive, in the same order."""
    lengths = [length for _, length in CHM13[:-1]]
    return tuple(zip(names, lengths, strict=True))


def _ncbi(name: str, accession: str, contigs: tuple[tuple[str, int], ...]) -> Entry:
    folder = f"{accession}_T2T-CHM13v2.0"
    place = f"{accession[:3]}/{accession[4:7]}/{accession[7:10]}/{accession[10:13]}/{folder}"
    file = f"{folder}_genomic.fna.gz"
    url = f"https://ftp.ncbi.nlm.nih.gov/genomes/all/{place}/{file}"
    notes = (
        "Contigs carry accession numbers; chr20-22 are held out by these too.",
        "NCBI states the md5 in md5checksums.txt beside the file; it is not pinned here.",
    )
    return Entry(
        name,
        "genome",
        f"T2T-CHM13v2.0 as {accession}",
        (File(file, (url,)),),
        "CC0",
        _T2T,
        contigs=contigs,
        held_out=HELD_OUT,
        notes=notes,
    )


def _ucsc(name: str, folder: str, contigs: tuple[tuple[str, int], ...], citation: str) -> Entry:
    """An assembly of UCSC by chromosomes, a file each."""
    hosts = ("hgdownload.soe.ucsc.edu", "hgdownload2.soe.ucsc.edu")
    files = tuple(
        File(
            f"{contig}.fa.gz",
            tuple(f"https://{h}/goldenPath/{folder}/chromosomes/{contig}.fa.gz" for h in hosts),
        )
        for contig, _ in contigs
    )
    notes = (
        "Choose chromosomes: `--contigs chr20,chrX`; without it all 25 are fetched. Elsewhere "
        f"write {name}:chr20,chrX.",
        _MASKED,
    )
    return Entry(
        name,
        "genome",
        f"{name} by chromosomes (UCSC {folder})",
        files,
        "public; no licence is pinned here",
        citation,
        contigs=contigs,
        choice=True,
        held_out=HELD_OUT,
        notes=notes,
    )


GENOMES = (
    Entry(
        "chm13v2.0_noY",
        "genome",
        "T2T-CHM13 analysis set without the Y of another person (= v1.1)",
        (File("chm13v2.0_noY.fa.gz", _analysis_set("chm13v2.0_noY.fa.gz")),),
        "CC0",
        _T2T,
        contigs=tuple(pair for pair in CHM13 if pair[0] != "chrY"),
        held_out=HELD_OUT,
        notes=("The closest to the paper's CHM13: 3,054,832,041 bases with M.", _MASKED),
    ),
    Entry(
        "chm13v2.0",
        "genome",
        "T2T-CHM13v2.0 analysis set",
        (
            File(
                "chm13v2.0.fa.gz",
                _analysis_set("chm13v2.0.fa.gz"),
                md5="06caded0055ec647a69acb708e13beff",
            ),
        ),
        "CC0",
        _T2T,
        size="about 0.98 GB",
        contigs=CHM13,
        held_out=HELD_OUT,
        notes=(
            "3,117,292,070 bases; the Y is that of HG002, another person.",
            "The md5 is that of two published scripts; 7cee777f... seen beside the file is not it.",
            _MASKED,
        ),
    ),
    Entry(
        "hs1",
        "genome",
        "T2T-CHM13v2.0 at UCSC",
        (
            File(
                "hs1.fa.gz",
                ("https://hgdownload.soe.ucsc.edu/goldenPath/hs1/bigZips/hs1.fa.gz",),
                md5="a493d5402cc86ecc3f54f6346d980036",
            ),
        ),
        "CC0",
        _T2T,
        contigs=CHM13,
        held_out=HELD_OUT,
        notes=(
            "The md5 is that of one laboratory's instructions.",
            "The same sequence lies there as hs1.2bit (812,327,608 bytes); it is not read here.",
            _MASKED,
        ),
    ),
    _ncbi(
        "chm13v2.0_genbank",
        "GCA_009914755.4",
        _named((*(f"CP{68277 - i:06}.2" for i in range(23)), "CP086569.2")),
    ),
    _ncbi(
        "chm13v2.0_refseq",
        "GCF_009914755.1",
        _named(f"NC_{60925 + i:06}.1" for i in range(24)),
    ),
    _ucsc(
        "GRCh38",
        "hg38",
        GRCH38,
        "Schneider et al. 2017, Evaluation of GRCh38, Genome Research 27:849-864",
    ),
    _ucsc(
        "GRCh37",
        "hg19",
        GRCH37,
        "Church et al. 2011, Modernizing reference genome assemblies, PLoS Biology 9:e1001091",
    ),
)

#: Task, length, rows of train and of test, and the train rows of the card where they differ.
_REVISED = (
    Rows("promoter_all", 300, 30_000, 1_584),
    Rows("promoter_no_tata", 300, 30_000, 1_372),
    Rows("promoter_tata", 300, 5_062, 212),
    Rows("enhancers", 400, 30_000, 3_000),
    Rows("enhancers_types", 400, 30_000, 3_000),
    Rows("splice_sites_all", 600, 30_000, 3_000),
    Rows("splice_sites_acceptors", 600, 30_000, 3_000),
    Rows("splice_sites_donors", 600, 30_000, 3_000),
    Rows("H2AFZ", 1000, 30_000, 3_000),
    Rows("H3K27ac", 1000, 30_000, 1_616),
    Rows("H3K27me3", 1000, 30_000, 3_000),
    Rows("H3K36me3", 1000, 30_000, 3_000),
    Rows("H3K4me1", 1000, 30_000, 3_000),
    Rows("H3K4me2", 1000, 30_000, 2_138),
    Rows("H3K4me3", 1000, 17_468, 776, 30_000),
    Rows("H3K9ac", 1000, 23_274, 1_004),
    Rows("H3K9me3", 1000, 27_438, 850),
    Rows("H4K20me1", 1000, 30_000, 2_270),
)
_YEAST = "H3 H3K14ac H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K79me3 H3K9ac H4 H4ac"
_V1 = (
    *_YEAST.split(),
    *(row.task for row in _REVISED if not row.task.startswith("H")),
)
_NT = "Dalla-Torre et al. 2024, Nucleotide Transformer, Nature Methods, 10.1038/s41592-024-02523-z"
_HUB = "InstaDeepAI/nucleotide_transformer_downstream_tasks"
_NT_NOTES = (
    "Human hg38. Test rows lie on chr20 and chr21, chr22 is in neither part.",
    "No validation part: one is cut from train, by chromosome.",
    "Names hold the label (`chr3:100-400|1`), so they never reach a model.",
    "H3K4me3 most likely has 17,468 training rows although the card says 30,000.",
    "No sums are pinned: a file must have the size and, where given, the sha256 that the hub "
    "states for the commit.",
)


def _pairs(names: Iterable[str], suffix: str) -> tuple[File, ...]:
    return tuple(File(f"{n}/{part}.{suffix}") for n in names for part in ("train", "test"))


def _revised(name: str, suffix: str, hub: Hub, *notes: str) -> Entry:
    return Entry(
        name,
        "tasks",
        f"Nucleotide Transformer tasks, revised, 18 of them (.{suffix})",
        _pairs((row.task for row in _REVISED), suffix),
        "none stated",
        _NT,
        rows=_REVISED,
        held_out=HELD_OUT,
        notes=(*notes, *_NT_NOTES),
        hub=hub,
    )


_COMMIT = "57bb950563d2f2c8b17c36f8db1872fde0d593ee"
_COMMIT_V1 = "1eb53008d1202c4de77dd963b29118ebc18d501b"
NUCLEOTIDE = (
    _revised(
        "nt_revised",
        "fna",
        Hub(f"{_HUB}_revised", _COMMIT, _COMMIT),
        "The paper's evaluation; its Table 1 has 14 of the tasks.",
    ),
    _revised(
        "nt_revised_parquet",
        "parquet",
        Hub(f"{_HUB}_revised", "main", "851f994"),
        "The same rows in the newer form. Only the start of the commit is known, so the newest "
        "revision is asked for; another commit is told.",
    ),
    Entry(
        "nt_v1",
        "tasks",
        "Nucleotide Transformer tasks, first version (10 yeast histone marks and others)",
        _pairs(_V1, "fna"),
        "none stated",
        _NT,
        notes=(
            "Not comparable with the revised tasks.",
            "12,000 of the training rows of enhancers and of enhancers_types are synthetic.",
            "Yeast marks have 500 bases; their names are genes (`iYMR122W-A_513047|1`).",
        ),
        hub=Hub(_HUB, _COMMIT_V1, _COMMIT_V1),
    ),
)


def _genomic_benchmark(name: str, length: int, train: int, test: int, *notes: str) -> Entry:
    """A set of the official archives; train 0 where its numbers of rows are not known."""
    file = f"{name}_v0.zip"
    return Entry(
        name,
        "tasks",
        f"Genomic Benchmarks: {name}",
        (File(file, (f"https://zenodo.org/records/16605299/files/{file}",)),),
        "Apache-2.0",
        "Gresova et al. 2023, Genomic benchmarks, BMC Genomic Data 24:25",
        tasks=(name,),
        rows=(Rows(name, length, train, test),) if train else (),
        notes=(
            "Classes are numbered by sorted name.",
            *notes,
            "Train and test are drawn at random, not by chromosome: nothing is held out.",
        ),
        layout="folders",
    )


BENCHMARKS = (
    _genomic_benchmark("demo_coding_vs_intergenomic_seqs", 200, 75_000, 25_000),
    _genomic_benchmark("demo_human_or_worm", 200, 75_000, 25_000),
    _genomic_benchmark(
        "drosophila_enhancers_stark", 0, 0, 0, "Numbers of rows are not known here."
    ),
    _genomic_benchmark("dummy_mouse_enhancers_ensembl", 0, 968, 242, "331 to 4,776 bases."),
    _genomic_benchmark("human_enhancers_cohn", 500, 20_843, 6_948),
    _genomic_benchmark(
        "human_enhancers_ensembl",
        0,
        123_872,
        30_970,
        "2 to 573 bases; holds rows of 2 bases and repeated rows.",
    ),
    _genomic_benchmark(
        "human_ensembl_regulatory",
        0,
        231_348,
        57_713,
        "Three classes, 71 to 802 bases. Labels elsewhere: 0 promoter, 1 enhancer, 2 ocr; by "
        "sorted name: 0 enhancer, 1 ocr, 2 promoter.",
    ),
    _genomic_benchmark(
        "human_nontata_promoters",
        251,
        27_097,
        9_034,
        "Negatives lie close together, so chromosomes tell the classes apart.",
    ),
    _genomic_benchmark("human_ocr_ensembl", 0, 139_804, 34_952, "71 to 593 bases."),
)

_GUE = (
    *(f"EMP_{mark}" for mark in _YEAST.split()),
    *(f"mouse_{i}" for i in range(5)),
    *(f"prom_prom_{kind}" for kind in ("300_all", "300_notata", "300_tata")),
    *(f"prom_prom_{kind}" for kind in ("core_all", "core_notata", "core_tata")),
    "splice_reconstructed",
    *(f"tf_{i}" for i in range(5)),
    "virus_covid",
)

GUE = Entry(
    "GUE",
    "tasks",
    "Genome Understanding Evaluation, 28 sets",
    (File("GUE.zip"),),
    "not stated",
    "Zhou et al. 2024, DNABERT-2, ICLR, arXiv:2306.15006",
    tasks=_GUE,
    notes=(
        "Its authors give it by Google Drive, which has no stable address: get the zip by hand, "
        "following their repository (MAGICS-LAB/DNABERT_2), then "
        "`birdiedna data fetch GUE --from-file GUE.zip`.",
        "Sets are named <group>_<set>, such as EMP_H3 and tf_0. Histone marks (EMP) are yeast.",
        "80 % train, 10 % dev, 10 % test, at random: nothing is held out by chromosome.",
    ),
    layout="sets",
)

#: Where the files of this catalogue may come from, redirects too; `.x` stands for all below x.
HOSTS = (
    "s3-us-west-2.amazonaws.com",
    "human-pangenomics.s3.amazonaws.com",
    "hgdownload.soe.ucsc.edu",
    "hgdownload2.soe.ucsc.edu",
    "ftp.ncbi.nlm.nih.gov",
    "zenodo.org",
    "huggingface.co",
    ".hf.co",
)

ENTRIES = (*GENOMES, *NUCLEOTIDE, *BENCHMARKS, GUE)


def named(name: str) -> Entry:
    """The entry of that name.

    Raises:
      ValueError: there is none; the message holds the closest and all names.
    """
    known = {entry.name: entry for entry in ENTRIES}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, 1, 0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"no {name!r} in the catalogue; {hint}there are: {', '.join(known)}")


def tasks_of(entry: Entry) -> tuple[str, ...]:
    """The names of the tasks of an entry, as its folder will have them."""
    paired = (file.path.split("/")[0] for file in entry.files if "/" in file.path)
    return entry.tasks or tuple(dict.fromkeys(paired))


def other_lengths(entry: Entry, contigs: Iterable[tuple[str, int]]) -> list[str]:
    """What differs between contigs, pairs of name and length, and those of a genome entry."""
    found = dict(contigs)
    wanted = dict(entry.contigs)
    missing = [name for name in wanted if name not in found and not entry.choice]
    differ = [
        f"{name} has {found[name]:,} bases, {entry.name} has {length:,}"
        for name, length in wanted.items()
        if name in found and found[name] != length
    ]
    return ([f"contigs missing: {', '.join(missing)}"] if missing else []) + differ


def assemblies(contigs: Iterable[tuple[str, int]]) -> list[str]:
    """The assemblies whose contigs of the same names all have these lengths; [] if none is known.

    Contigs of other names say nothing. Versions with the same contigs are all named.
    """
    found = dict(contigs)
    shared = {
        entry.name: [found[name] == length for name, length in entry.contigs if name in found]
        for entry in GENOMES
    }
    return [name for name, agree in shared.items() if agree and all(agree)]
