"""Benchmark tasks: Nucleotide Transformer, Genomic Benchmarks, GUE."""

from collections.abc import Iterable

from birdiedna.catalogue.entry import HELD_OUT, Entry, File, Hub, Rows

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
