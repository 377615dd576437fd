"""Chromosomes by their many names: chr20, 20, hs20, HSA20, NC_000020.11, CM000682.2, chr20:1-1000.

Scaffolds of held-out chromosomes are recognised by their accession.
"""

import re

#: Held out from pre-training: the NT benchmark tests on chr20 and chr21; chr22 is unused.
HELD_OUT = ("chr20", "chr21", "chr22")

_NUMBER = r"0*(?P<number>\d{1,2}|[XYM]|MT)"
_WORD = r"(?:hsa?|(?:hsa?)?chr(?:om(?:osome)?)?)"
_PREFIXED = re.compile(rf"(?<![a-z0-9]){_WORD}[_-]?{_NUMBER}(?![a-z0-9])", re.I)
_BARE = re.compile(rf"{_NUMBER}(\.\d+)?(?=$|:)", re.I)
_ACCESSION = re.compile(
    r"(?<![a-z0-9])(?:(?:N[CTW]_|[A-Z]{2})\d{6,9}(?!\d)|HG\d+(?=_(?:HG\d+_)?PATCH))", re.I
)
_ORDER = (*(str(i) for i in range(1, 23)), "X", "Y")
#: Of any version: GRCh37, GRCh38 and T2T-CHM13 (its GenBank numbers, CP, count down).
_ACCESSIONS = (
    {f"NC_{first + i:06}": name for first in (1, 60925) for i, name in enumerate(_ORDER)}
    | {f"CM{663 + i:06}": name for i, name in enumerate(_ORDER)}
    | {f"CP{68277 - i:06}": name for i, name in enumerate(_ORDER[:-1])}
    | {"CP086569": "Y", "CP068254": "M", "NC_012920": "M"}
)
#: Scaffolds of the held-out chromosomes: unlocalised, alternative and patches up to GRCh38.p14, and
#: the one of GRCh37; by their RefSeq and GenBank numbers and the names of patches.
_SCAFFOLDS = {
    "20": """NT_187623 NT_187624 NT_187625 NW_003315966 NW_025791811 NW_025791812
        KI270869 KI270870 KI270871 GL383577 MU273388 MU273389 HG2225 HG410""",
    "21": """NT_113950 NT_187626 NT_187627 NT_187628 NW_003315967 NW_003315968 NW_003315969
        NW_003315970 NW_021160023 NW_025791813 NW_025791814 NW_025791815
        GL000210 KI270872 KI270873 KI270874 GL383578 GL383579 GL383580 GL383581 ML143377 MU273390
        MU273391 MU273392 HG2513 HG2219 HG2265 HG2521""",
    "22": """NT_187386 NT_187387 NT_187388 NT_187389 NT_187390 NT_187391 NT_187392 NT_187393
        NT_187394 NT_187629 NT_187630 NT_187631 NT_187632 NT_187633 NT_187682 NW_003315971
        NW_003315972 NW_004504305 NW_009646207 NW_009646208 NW_014040930 NW_014040931 NW_015148968
        NW_015148969 NW_021160024 NW_021160025 NW_021160026
        KI270731 KI270732 KI270733 KI270734 KI270735 KI270736 KI270737 KI270738 KI270739 KI270875
        KI270876 KI270877 KI270878 KI270879 KI270928 GL383582 GL383583 KB663609 KN196485 KN196486
        KQ458387 KQ458388 KQ759761 KQ759762 ML143378 ML143379 ML143380 HG2512 HG1485 HG494
        HG1311""",
}
_ACCESSIONS |= {code: name for name, codes in _SCAFFOLDS.items() for code in codes.split()}
#: A name of a whole chromosome, not of a piece of one.
_WHOLE = re.compile(
    rf"({_WORD}[_-]?)?0*(\d{{1,2}}|[XYM]|MT)(\.\d+)?|(NC_|CM|CP)\d{{6}}(\.\d+)?", re.I
)


def chromosome(name: str) -> str:
    """Return the chromosome of a contig: `chr20` for Chr20, 20.1, chr20:1-1000, NC_000020.11.

    Unknown names are returned unchanged. Pieces (`chr1_KI270706v1_random`) belong to their
    chromosome, so that holding it out also holds them out.
    """
    code = _ACCESSION.search(name)
    if code and code[0].upper() in _ACCESSIONS:
        return f"chr{_ACCESSIONS[code[0].upper()]}"
    match = _PREFIXED.search(name) or _BARE.match(name)
    return "chr" + match["number"].upper().replace("MT", "M") if match else name


def is_chromosome(name: str) -> bool:
    """Return whether `chromosome` recognises the name; others are held out only by name."""
    return re.fullmatch(r"chr(\d{1,2}|[XYM])", chromosome(name)) is not None


def is_whole(name: str) -> bool:
    """Return whether the name is one chromosome's: not a piece of it, not several."""
    return is_chromosome(name) and _WHOLE.fullmatch(name) is not None


def whole(name: str) -> str:
    """Return the chromosome if the name is of a whole one; other names unchanged."""
    return chromosome(name) if _WHOLE.fullmatch(name) else name
