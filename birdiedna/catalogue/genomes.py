"""Genomes: the three forms of T2T-CHM13v2.0, and two older assemblies by chromosomes."""

from collections.abc import Iterable

from birdiedna.catalogue.entry import HELD_OUT, Entry, File

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
