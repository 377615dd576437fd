"""Chromosomes by their many names: chr20, 20, Chr20.1, NC_000020.11, CM000682.2, chr20:1-1000."""

import re

#: Kept out of pre-training: the NT benchmark tests on chr20, chr21; its unused rest is chr22.
HELD_OUT = ("chr20", "chr21", "chr22")

_NUMBER = r"0*(?P<number>\d{1,2}|[XYM]|MT)"
_PREFIXED = re.compile(rf"(?<![a-z0-9])(hs)?chr(om(osome)?)?[_-]?{_NUMBER}(?![a-z0-9])", re.I)
_BARE = re.compile(rf"{_NUMBER}(\.\d+)?(?=$|:)", re.I)
_ACCESSION = re.compile(r"(?<![a-z0-9])(?:NC_|CM|CP)\d{6}(?!\d)", re.I)
_ORDER = (*(str(i) for i in range(1, 23)), "X", "Y")
#: Of any version: GRCh37, GRCh38 and T2T-CHM13 (its GenBank numbers, CP, count down).
_ACCESSIONS = (
    {f"NC_{first + i:06}": name for first in (1, 60925) for i, name in enumerate(_ORDER)}
    | {f"CM{663 + i:06}": name for i, name in enumerate(_ORDER)}
    | {f"CP{68277 - i:06}": name for i, name in enumerate(_ORDER[:-1])}
    | {"CP086569": "Y", "CP068254": "M", "NC_012920": "M"}
)
#: A name that means a whole chromosome, and not a piece of one.
_WHOLE = re.compile(
    r"((hs)?chr(om(osome)?)?[_-]?)?0*(\d{1,2}|[XYM]|MT)(\.\d+)?|(NC_|CM|CP)\d{6}(\.\d+)?", re.I
)


def chromosome(name: str) -> str:
    """The chromosome a contig belongs to: `chr20` for Chr20, 20.1, chr20:1-1000, NC_000020.11.

    Names of another form are returned unchanged. Pieces (`chr1_KI270706v1_random`) belong to
    their chromosome, so that holding it out holds them out too.
    """
    code = _ACCESSION.search(name)
    if code and code[0].upper() in _ACCESSIONS:
        return f"chr{_ACCESSIONS[code[0].upper()]}"
    match = _PREFIXED.search(name) or _BARE.match(name)
    return "chr" + match["number"].upper().replace("MT", "M") if match else name


def is_chromosome(name: str) -> bool:
    """Whether `chromosome` recognises the name; other names are never held out."""
    return re.fullmatch(r"chr(\d{1,2}|[XYM])", chromosome(name)) is not None


def whole(name: str) -> str:
    """The chromosome that a name means as a whole; pieces and other names unchanged."""
    return chromosome(name) if _WHOLE.fullmatch(name) else name
