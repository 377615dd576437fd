"""The embedded sample: its files and the split of its contigs.

Real human sequence (GRCh37), small enough for the package. `README.md` in this folder describes it,
`PROVENANCE.json` gives the source of every byte; `scripts/make_sample.py` rebuilds it.
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

GENOME = _HERE / "genome.fa.gz"
TASKS = _HERE / "tasks"
PROVENANCE = _HERE / "PROVENANCE.json"

#: Pre-training contigs, named `chromosome:start-end` (0-based, half-open, GRCh37). All are before
#: the centromere of chrX, so the last block of the labelled chrX rows is never pre-trained on.
TRAIN = (
    "chrX:2400000-2800000",
    "chrX:15200000-15600000",
    "chrX:32400000-32800000",
    "chrX:40400000-40800000",
    "chrX:48800000-49200000",
    "chrX:53200000-53600000",
)
#: Contigs of two other chromosomes for the held-out loss.
VALIDATION = ("chr3:42600000-42750000", "chr5:125800000-125950000")
