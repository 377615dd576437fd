"""Rebuild the embedded sample from public packages, byte for byte: `python scripts/make_sample.py`.

Needs `apt-get`, `dpkg-deb` and pip, and the network unless the archives are in the cache folder.
"""

import argparse
import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data.sample import GENOME, TRAIN, VALIDATION
from birdiedna.tasks import benchmark_rules as rules
from birdiedna.tasks.benchmark_rules import Gene


class Member(NamedTuple):
    """One file of an archive: its content, path and sha256."""

    holds: str
    path: str
    sha256: str


class Source(NamedTuple):
    """One pinned package: name, version, archive, sha256, licence, members that are used."""

    package: str
    version: str
    archive: str
    sha256: str
    licence: str
    members: tuple[Member, ...]


_DOC = "./usr/share/doc/"

SOURCES = (
    Source("smalt-examples", "0.7.6-12", "smalt-examples_0.7.6-12_all.deb",
        "ffb01b7ff91cd29bd45c980cdeea90d986146dd2e907fd9e365d3a8fa75b0751",
        "GPL-3",
        (
            Member("chrX", _DOC + "smalt/test/data/hs37chrXtrunc.fa.gz",
                "01fe793d0b77f91fa9d2edb8b269d9bc480cf71df469dce4be6e45bec25c749a"),
        )),
    Source("vt-examples", "0.57721+ds-3", "vt-examples_0.57721+ds-3_all.deb",
        "277c0ef50f4cda40f2dd837f90b6d837155ecd5b8889797683fe63375b017b56",
        "MIT",
        (
            Member("chr20", _DOC + "vt/examples/ref/20.fa.gz",
                "83c80b3fb23822ff0a66f26306e46f5db3c83d48fcff68bcddc353a3d8ef581b"),
        )),
    Source("augustus-doc", "3.5.0+dfsg-2", "augustus-doc_3.5.0+dfsg-2_all.deb",
        "8427ef32b4f345dc336066215390572f242c79818bcb6a709df87b4be43fc71b",
        "Artistic",
        (
            Member("chr3", _DOC + "augustus/tutorial/data/chr3.42M.fa",
                "cc1383731b272c9587eac66c9dc19439fbddadee0414bafa3b996cda44c27029"),
            Member("chr5", _DOC + "augustus/tutorial/data/chr5.124M.fa",
                "248fe24571c969cb83303384205e7de28c1f7fd842431a305b1da9e2f9530e4a"),
        )),
    Source("spliceai", "1.3.1", "spliceai-1.3.1-py2.py3-none-any.whl",
        "63c633b8de6803d4ffb613e6ef62f1a896fec9fc13245c0f000ff7adea279776",
        "GPL-3 (the wheel is opened as a zip file; its code is neither installed nor imported)",
        (
            Member("genes", "spliceai/annotations/grch37.txt",
                "16e495da074e965f46f60ced4e73292843e949051d2dc31dd521da3fd7615dce"),
        )),
)  # fmt: skip


def verified(raw: bytes, sha256: str, what: str) -> bytes:
    """The bytes, if their sha256 is the pinned one; else ValueError."""
    found = _sha256(raw)
    if found != sha256:
        raise ValueError(
            f"{what} has sha256 {found}, expected {sha256}; delete it and fetch the pinned version"
        )
    return raw


def fetch(source: Source, cache: Path) -> bytes:
    """The archive, from the cache folder or downloaded by `apt-get` or pip.

    Raises:
      ValueError: the download failed, or the archive is not the pinned one.
    """
    path = cache / source.archive
    cache.mkdir(parents=True, exist_ok=True)
    download = ["apt-get", "download", f"{source.package}={source.version}"]
    commands = [download, ["apt-get", "update"], download]
    if source.archive.endswith(".whl"):
        wheel = f"{source.package}=={source.version}"
        commands = [[sys.executable, "-m", "pip", "download", "-q", "--no-deps", wheel]]
    for command in commands:
        if not path.exists() and shutil.which(command[0]):
            subprocess.run(command, cwd=cache, check=False)
    if not path.exists():
        raise ValueError(
            f"could not download {source.archive}; put this file into the folder given by --cache"
        )
    return verified(path.read_bytes(), source.sha256, str(path))


def unpack(source: Source, archive: bytes) -> dict[str, bytes]:
    """The members of an archive, by content.

    Raises:
      ValueError: a member is not the pinned one, or `dpkg-deb` is not installed.
    """
    if source.archive.endswith(".whl"):
        with zipfile.ZipFile(io.BytesIO(archive)) as wheel:
            raw = {member.holds: wheel.read(member.path) for member in source.members}
    elif not shutil.which("dpkg-deb"):
        raise ValueError(f"dpkg-deb is needed to open {source.archive}; install the package dpkg")
    else:
        command = ["dpkg-deb", "--fsys-tarfile", "/dev/stdin"]
        tar = subprocess.run(command, input=archive, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as files:
            raw = {member.holds: files.extractfile(member.path).read() for member in source.members}
    return {
        member.holds: verified(raw[member.holds], member.sha256, member.path)
        for member in source.members
    }


def members(cache: Path) -> dict[str, bytes]:
    """All pinned members of all sources, by content (`chrX`, `chr20`, ..., `genes`)."""
    held: dict[str, bytes] = {}
    for source in SOURCES:
        held |= unpack(source, fetch(source, cache))
    return held


#: The motif may miss one letter and start 40 to 20 bases upstream of the transcription start.
#: Our choice: wider than 24 to 36, because GENCODE starts are less exact than EPD's.
TATA, TATA_MISSES, TATA_FARTHEST, TATA_NEAREST = "TATAWAW", 1, 40, 20

_TATA_ALLOWED = np.zeros((len(TATA), 256), bool)
for _i, _letter in enumerate(TATA):
    _TATA_ALLOWED[_i, vocab.encode("AT" if _letter == "W" else _letter)] = True

SEED = "birdiedna sample 1"
SPLITS = {"train": "chrX", "test": "chr20"}
#: Rows of one class in one split. Our choice: at most 3.9 MB in all.
DONORS, ACCEPTORS, PROMOTERS = 400, 150, 250
#: First base in each file (headers count from 1, as the donors of the annotation show).
FIRST_BASE = {"chrX": 0, "chr3": 41_999_999, "chr5": 123_999_999}
LINE_BASES = 80
#: The default folder of archives.
CACHE = Path.home() / ".cache" / "birdiedna" / "sample"

Rows = list[tuple[int, int]]  # (first base, label), in file order

_GENE_WORDS = "protein-coding GENCODE transcripts, one a gene, as in SpliceAI's grch37.txt"
_RULES = {
    "window": "+ strand always, 0-based half-open GRCh37 coordinates, only A, C, G and T",
    "negatives": "windows that start at a multiple of 1,000 bases and overlap no element: no exon "
    "boundary of the annotation (splice tasks), no 300-base promoter window (promoter tasks)",
    "splice_sites_donors": "600 bases, last base of the exon at index 300: GT at 301-302 for + "
    "genes, AC at 298-299 for - genes; not at transcript ends",
    "splice_sites_acceptors": "600 bases, first base of the exon at index 300: AG at 298-299 for + "
    "genes, CT at 301-302 for - genes; not at transcript ends",
    "splice_sites_donors_decoy": "positives of splice_sites_donors; negatives have an unannotated "
    "GT (or AC) at the same indices, inside a transcript of that strand, as many of each strand as "
    "the positives",
    "promoter": "300 bases, transcription start at index 49 for + genes, 10 for - genes, not "
    "flipped; promoter_all is the union of promoter_tata and promoter_no_tata",
    "promoter_tata": "TATAWAW with at most one other letter, first letter 40 to 20 bases upstream "
    "of the start, read on the gene's strand; every such promoter is kept, the rest is drawn",
}
_DECISIONS = [
    f"Rebuilt, not official: genes are {_GENE_WORDS}; the official tasks use GENCODE V44 levels "
    "1-2 (hg38) for splice sites. Call every number on this sample 'rebuilt'.",
    "Promoters are GENCODE transcript starts, not EPDnew; TATA is decided by a motif. Of the "
    "motif's matches on chrX about as many are expected by chance, so promoter_tata is a smoke "
    "test of the path, not a measurement.",
    "Alternative splice sites that the one transcript lacks are not excluded from negatives.",
    "Genes that reach past the cut of the chrX file (base 69,999,930) give no positives.",
    "Train rows are chrX, test rows chr20; genome.fa.gz holds nothing of chr20, chr21 or chr22. "
    "Its chrX contigs lie before the centromere, so the last chrX rows are never pre-trained on.",
    "Rows are drawn and shuffled by a hash of position and seed; classes are exactly balanced.",
]
_TERMS = (
    "Only bases of the public human reference (GRCh37, Genome Reference Consortium) and windows at "
    "published coordinates are redistributed; the licence named is that of the package they were "
    "taken from, by its copyright file or metadata."
)


def sequence(fasta: bytes) -> np.ndarray:
    """Upper-case letters (uint8, shape (bases,)) of a FASTA file with one contig, gzip or plain."""
    # gzip.decompress copies the rest of the file for each of the many blocks of a bgzip file
    packed = fasta[:2] == b"\x1f\x8b"
    raw = gzip.GzipFile(fileobj=io.BytesIO(fasta)).read() if packed else fasta
    lines = raw.split(b"\n", 1)[1].upper().split()
    return np.frombuffer(b"".join(lines), np.uint8)


def genes(table: str, chromosome: str) -> list[Gene]:
    """The transcripts of one chromosome (`chrX`) in SpliceAI's annotation table."""
    lines = (line for line in table.splitlines() if not line.startswith("#"))
    return [gene for gene in map(rules.transcript, lines) if gene.chromosome == chromosome]


def start_site(gene: Gene) -> tuple[int, str]:
    """The first transcribed base, and its strand."""
    return gene.start if gene.strand == "+" else gene.end - 1, gene.strand


def has_tata(letters: np.ndarray, position: int, strand: str) -> bool:
    """Whether TATAWAW, at most one letter off, starts 40 to 20 bases upstream of the start site."""
    motif = len(TATA)
    if strand == "+":
        piece = letters[position - TATA_FARTHEST : position - TATA_NEAREST + motif]
    else:
        piece = letters[position + TATA_NEAREST - motif + 1 : position + TATA_FARTHEST + 1]
    tokens = vocab.encode(piece.tobytes())
    upstream = tokens if strand == "+" else vocab.reverse_complement(tokens)
    words = np.lib.stride_tricks.sliding_window_view(upstream, motif)
    misses = (~_TATA_ALLOWED[np.arange(motif), words]).sum(1)
    return bool((misses <= TATA_MISSES).any())


def _positions(genes: list[Gene], *kinds: str) -> np.ndarray:
    """Positions of exon boundaries, sorted, each once."""
    return np.unique([p for gene in genes for kind in kinds for p in rules.boundaries(gene, kind)])


def _salt(*parts: str) -> str:
    return "/".join((SEED, *parts))


def _mixed(positives: np.ndarray, negatives: np.ndarray, salt: str) -> Rows:
    labelled = [(int(start), 1) for start in positives] + [(int(start), 0) for start in negatives]
    return [labelled[i] for i in rules.shuffled(np.arange(len(labelled)), salt)]


def splice_rows(letters: np.ndarray, genes: list[Gene], split: str) -> dict[str, Rows]:
    """The rows of the three splice tasks for one chromosome.

    Args:
      letters: the chromosome, upper case, uint8.
      genes: its transcripts; those past the end of the sequence give no positives.
      split: `train` or `test`, part of the salt.
    """
    whole = [gene for gene in genes if gene.end <= len(letters)]
    annotated = _positions(genes, "donor", "acceptor")
    background = rules.grid(letters, rules.SPLICE_BASES, annotated, 1)
    rows = {}
    for kind, count in (("donor", DONORS), ("acceptor", ACCEPTORS)):
        task, starts = f"splice_sites_{kind}s", _positions(whole, kind) - rules.BOUNDARY
        usable = rules.readable(letters, starts, rules.SPLICE_BASES)
        positives = rules.draw(usable, count, _salt(task, split, "positive"))
        negatives = rules.draw(background, count, _salt(task, split, "negative"))
        rows[task] = _mixed(positives, negatives, _salt(task, split, "order"))
    task = "splice_sites_donors_decoy"
    positives = np.array([start for start, label in rows["splice_sites_donors"] if label])
    forward = _positions([gene for gene in genes if gene.strand == "+"], "donor")
    plus = int(np.isin(positives + rules.BOUNDARY, forward).sum())
    wanted = [("donor", "+")] * plus + [("donor", "-")] * (len(positives) - plus)
    negatives = rules.decoy_windows(letters, genes, wanted, annotated, _salt("decoy", split))
    return rows | {task: _mixed(positives, negatives, _salt(task, split, "order"))}


def promoter_rows(letters: np.ndarray, genes: list[Gene], split: str) -> dict[str, Rows]:
    """The rows of the three promoter tasks for one chromosome (arguments as `splice_rows`)."""
    length = rules.PROMOTER_BASES
    elements = np.unique([rules.promoter_window(*start_site(gene)) for gene in genes])
    sites = {start_site(gene) for gene in genes if gene.end <= len(letters)}
    starts = {site: rules.promoter_window(*site) for site in sorted(sites)}
    usable = set(rules.readable(letters, np.array([*starts.values()]), length).tolist())
    with_tata = {w for s, w in starts.items() if w in usable and has_tata(letters, *s)}
    others = np.array(sorted(usable - with_tata))
    background = rules.grid(letters, length, elements, length)
    negatives = rules.draw(background, PROMOTERS, _salt("promoter", split, "negative"))
    count = len(with_tata)
    plain = rules.draw(others, PROMOTERS - count, _salt("promoter", split, "positive"))
    parts = {
        "promoter_tata": (np.array(sorted(with_tata)), negatives[:count]),
        "promoter_no_tata": (plain, negatives[count:]),
    }
    parts["promoter_all"] = tuple(np.concatenate(pair) for pair in zip(*parts.values()))
    return {task: _mixed(*pair, _salt(task, split, "order")) for task, pair in parts.items()}


def fna(letters: np.ndarray, chromosome: str, rows: Rows, length: int) -> bytes:
    """Rows in the benchmark's layout: `>chrX:start-end|label`, then the bases on one line."""
    name = chromosome.encode()
    return b"".join(
        b">%s:%d-%d|%d\n%s\n" % (name, i, i + length, label, letters[i : i + length].tobytes())
        for i, label in rows
    )


def genome_fasta(letters: dict[str, np.ndarray], names: tuple[str, ...]) -> bytes:
    """The named pieces as FASTA, 80 bases a line; ValueError if one is not plain ACGT."""
    text = []
    for name in names:
        chromosome, place = name.split(":")
        start, end = (int(bound) - FIRST_BASE[chromosome] for bound in place.split("-"))
        if not len(rules.readable(letters[chromosome], np.array([start]), end - start)):
            raise ValueError(f"{name} is not plain ACGT inside the {chromosome} file; move it")
        bases = letters[chromosome][start:end].tobytes()
        lines = [bases[i : i + LINE_BASES] for i in range(0, len(bases), LINE_BASES)]
        text += [f">{name} GRCh37".encode(), *lines]
    return b"\n".join(text) + b"\n"


def compressed(raw: bytes) -> bytes:
    """Gzip without time and name, so that equal text gives equal bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as file:
        file.write(raw)
    return out.getvalue()


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def files(held: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, dict]]:
    """The data files of the sample and facts about each, by path."""
    letters = {name: sequence(raw) for name, raw in held.items() if name != "genes"}
    table = held["genes"].decode()
    fasta = genome_fasta(letters, TRAIN + VALIDATION)
    bases = sum(len(line) for line in fasta.splitlines() if not line.startswith(b">"))
    data = {GENOME.name: compressed(fasta)}
    facts = {GENOME.name: {"bases": bases, "sha256_uncompressed": _sha256(fasta)}}
    for split, chromosome in SPLITS.items():
        found, bases_here = genes(table, chromosome), letters[chromosome]
        splice, promoter = (make(bases_here, found, split) for make in (splice_rows, promoter_rows))
        for task, rows in (splice | promoter).items():
            length = rules.SPLICE_BASES if task in splice else rules.PROMOTER_BASES
            path = f"tasks/{task}/{split}.fna"
            data[path] = fna(bases_here, chromosome, rows, length)
            labels = [label for _, label in rows]
            counts = {str(label): labels.count(label) for label in (0, 1)}
            facts[path] = {"rows": len(rows), "bases_a_row": length, "labels": counts}
    for path, raw in data.items():
        facts[path] |= {"bytes": len(raw), "sha256": _sha256(raw)}
    return data, facts


def provenance(facts: dict[str, dict]) -> bytes:
    """PROVENANCE.json: sources, rules, decisions and the checksum of every file."""
    record = {
        "assembly": "GRCh37 (hg19)",
        "command": "python scripts/make_sample.py",
        "seed": SEED,
        "sources": [
            source._asdict() | {"members": [member._asdict() for member in source.members]}
            for source in SOURCES
        ],
        "terms": _TERMS,
        "genome": {"train": TRAIN, "validation": VALIDATION},
        "splits": SPLITS,
        "rules": _RULES,
        "decisions": _DECISIONS,
        "files": dict(sorted(facts.items())),
    }
    return json.dumps(record, indent=1).encode() + b"\n"


def build(cache: Path, out: Path) -> None:
    """Write the sample into `out`, with archives from `cache` or the network."""
    data, facts = files(members(cache))
    for path, raw in (data | {"PROVENANCE.json": provenance(facts)}).items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(raw)
        print(f"{len(raw):9,d}  {path}")


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(prog="scripts.make_sample", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the four archives")
    parser.add_argument("--out", type=Path, default=GENOME.parent, help="folder to write into")
    arguments = parser.parse_args()
    build(arguments.cache, arguments.out)


if __name__ == "__main__":
    main()
