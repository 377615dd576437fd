"""The catalogue: genomes and benchmark tasks that can be fetched, with what is known of each.

A pin that is None is not known: the sha256 of the first download is recorded and compared from
then on. Nothing here was fetched while the catalogue was written; sizes and sums are published
ones. A local file always serves in place of an address, by the same checks.
"""

import difflib
from collections.abc import Iterable

from birdiedna.catalogue.benchmarks import BENCHMARKS, GUE, NUCLEOTIDE
from birdiedna.catalogue.entry import HELD_OUT, Entry, File, Hub, Rows
from birdiedna.catalogue.genomes import GENOMES

__all__ = ["ENTRIES", "HELD_OUT", "HOSTS", "Entry", "File", "Hub", "Rows"]
__all__ += ["assemblies", "named", "other_lengths", "tasks_of"]

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
