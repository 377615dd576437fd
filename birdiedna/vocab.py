"""The vocabulary: bases, special ids, one id per objective, class labels, sentinels.

Ids of bases fit a uint8, so a genome is stored as vocabulary ids, one byte per base. Ids are part
of every checkpoint: use spare ones for new tokens, and never renumber.
"""

import numpy as np
from numpy.typing import ArrayLike

PAD, START, EOS, MASK, CTX, FIND, TO, SEP = range(8)
A, C, G, T, N = range(8, 13)

#: Objective names, in the order of their ids; append only.
OBJECTIVES = (
    "next_token",
    "infill_50_3",
    "infill_15_32",
    "prefix_lm_75",
    "deshuffling_50",
    "autoencoding_30_50",
    "copying",
    "selective_copying_15",
    "masked_15",
)
FIRST_OBJECTIVE = 16
FIRST_CLASS = 32
CLASSES = 32
FIRST_SENTINEL = 64
SENTINELS = 256
#: Vocabulary size, padded to a multiple of 128 for the matrix units of accelerators.
SIZE = 384

_names = [f"<unused {i}>" for i in range(SIZE)]
_names[PAD : SEP + 1] = "<pad> <start> <eos> <mask> <ctx> <find> <to> <sep>".split()
_names[A : N + 1] = "ACGTN"
for _first, _group in (
    (FIRST_OBJECTIVE, OBJECTIVES),
    (FIRST_CLASS, [f"class {i}" for i in range(CLASSES)]),
    (FIRST_SENTINEL, range(SENTINELS)),
):
    _names[_first : _first + len(_group)] = [f"<{name}>" for name in _group]
#: The text of every id.
NAMES = tuple(_names)

#: Letters of a nucleotide sequence, ambiguity codes and U included.
IUPAC = b"ACGTNRYSWKMBDHVU"
_FROM_ASCII = np.zeros(256, np.uint8)
_FROM_ASCII[list(IUPAC + IUPAC.lower())] = N
_FROM_ASCII[list(b"ACGTUacgtu")] = [A, C, G, T, T] * 2


def encode(sequence: str | bytes) -> np.ndarray:
    """Nucleotide letters as vocabulary ids, uint8 (bases,); U becomes T, ambiguity codes N.

    Raises:
      ValueError: a letter, of either case, is not IUPAC; the message names it and its offset.
    """
    raw = sequence.encode("latin-1", "replace") if isinstance(sequence, str) else sequence
    letters = np.frombuffer(raw, np.uint8)
    tokens = _FROM_ASCII[letters]
    if len(tokens) and tokens.min() == PAD:
        offset = int(np.argmin(tokens))
        letter = sequence[offset] if isinstance(sequence, str) else chr(letters[offset])
        raise ValueError(
            f"letter {letter!a} at offset {offset} is not a nucleotide code; {remedy(letter)}"
        )
    return tokens


def remedy(letter: str) -> str:
    """What to do with a letter that is not a nucleotide code."""
    if letter.upper() in "EFILPQ":
        return "a protein cannot be read; give its DNA"
    if letter in "-.":
        return "delete the gaps of an alignment, or write N"
    if letter.isspace():
        return "delete blanks"
    return "use ACGT, N or an IUPAC ambiguity letter"


def decode(tokens: ArrayLike) -> str:
    """Vocabulary ids as text: letters for bases, `<name>` for all other tokens.

    Raises:
      ValueError: an id is not of the vocabulary, or these are no ids of one row.
    """
    array = np.asarray(tokens)
    if array.ndim != 1 or array.size and array.dtype.kind not in "iu":
        raise ValueError(f"tokens are {array.dtype} {array.shape}; give whole numbers of one row")
    ids = array.astype(int).tolist()
    if unknown := [i for i in ids if not 0 <= i < SIZE]:
        raise ValueError(f"id {unknown[0]} is not of the vocabulary; give 0 to {SIZE - 1}")
    return "".join(NAMES[i] for i in ids)


def reverse_complement(tokens: ArrayLike) -> np.ndarray:
    """The opposite strand of base ids (any leading axes; the last one is the sequence).

    `genome.reverse_complement` does the same for JAX arrays.
    """
    return complement(tokens)[..., ::-1]


def complement(tokens: ArrayLike) -> np.ndarray:
    """The complement of each base; other ids stay the same. ValueError if ids are not whole."""
    tokens = np.asarray(tokens)
    if tokens.size and tokens.dtype.kind not in "iu":
        raise ValueError(f"tokens are {tokens.dtype}; give whole numbers")
    return np.where((tokens >= A) & (tokens <= T), A + T - tokens, tokens)


def objective_id(name: str) -> int:
    """The id that starts a row of the named objective.

    Raises:
      ValueError: the name is not in `OBJECTIVES`.
    """
    if name not in OBJECTIVES:
        raise ValueError(f"unknown objective {name!r}; choose one of {', '.join(OBJECTIVES)}")
    return FIRST_OBJECTIVE + OBJECTIVES.index(name)
