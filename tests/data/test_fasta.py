"""FASTA files are read exactly and cached; broken ones are refused with the position."""

import bz2
import gzip
import hashlib
import lzma
import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pyfaidx
import pytest
from made_files import SHARED, compress, needs_shared, written

from birdiedna import vocab
from birdiedna.data import fasta, files, genome

TINY = Path(__file__).with_name("tiny.fa")


def contents(found: genome.Genome) -> dict[str, str]:
    return {c.name: vocab.decode(found.tokens[c.start : c.start + c.length]) for c in found.contigs}


def bgzip(text: bytes) -> bytes:
    """Write BGZF: blocks with their size in an extra field, and an empty last block."""
    blocks = b""
    for part in (text[: len(text) // 2], text[len(text) // 2 :], b""):
        plain = compress(part)
        size = (len(plain) + 8 - 1).to_bytes(2, "little")
        extra = b"\x06\x00BC\x02\x00" + size
        blocks += plain[:3] + b"\x04" + b"\0" * 4 + b"\0\xff" + extra + plain[10:]
    return blocks


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
def test_u_becomes_t_ambiguity_codes_n_and_notes_count_all_that_was_found(tmp_path, caplog):
    codes = "RYSWKMBDHVU"
    text = f">a\nACGT{codes}\nG{codes.lower()}nn\n>b\n>c\nacN\n"
    found = fasta.read(written(tmp_path, text), tmp_path / "cache")
    first = "ACGT" + "N" * 10 + "TG" + "N" * 10 + "TNN"
    assert contents(found) == {"a": first, "b": "", "c": "ACN"}
    counts = {"bases": 32, "lower_case": 15, "empty_contigs": 1, "N": 3}
    assert found.notes == counts | dict.fromkeys(codes, 2)
    assert fasta.changes(found.notes) == [
        "15 bases in lower case (46.9%), read as upper case",
        "2 U, read as T",
        "20 ambiguity codes (B 2, D 2, H 2, K 2, M 2, R 2, S 2, V 2, W 2, Y 2), read as N",
        "1 empty contig",
    ]
    assert "1 contig is empty" in caplog.text


@pytest.mark.parametrize("name", ["x.fa", "x.fa.gz", "x"])
@pytest.mark.parametrize("packed", [bytes, compress, bgzip])
def test_bytes_decide_about_compression_not_the_name(tmp_path, packed, name):
    path = written(tmp_path, packed(TINY.read_bytes()), name)
    found = fasta.read(path, tmp_path / "cache")
    records = [record.splitlines() for record in TINY.read_text().split(">")[1:]]
    first, second = ("".join(lines).upper().replace("R", "N") for _, *lines in records)
    assert [*contents(found).items()] == [("chr1", first), ("chr8", second)]
    assert found.tokens.dtype == np.uint8 and found.source == name


@pytest.mark.parametrize(
    "content",
    [
        b"\n\n>a\nACG\nTT\n>b\nGG\n",
        b"\xef\xbb\xbf>a\nACG\nTT\n>b\nGG\n",
        b">a some words\nACG\nTT\n\n>b\nGG\n\n",
        compress(b"\xef\xbb\xbf>a\nACG\nTT\n>b\nGG\n"),
        b">a\nAC\r\nGT\nT\n>b\r\nGG",
        compress(b"; remark\n>a\n\nA\nCGTT\n>b\nGG"),
    ],
)
def test_mixed_line_ends_remarks_and_byte_order_marks_do_not_matter(tmp_path, content):
    found = fasta.read(written(tmp_path, content), tmp_path / "cache")
    assert contents(found) == {"a": "ACGTT", "b": "GG"}


def test_second_reading_comes_from_the_cache(tmp_path, monkeypatch):
    path = written(tmp_path, TINY.read_bytes())
    first = fasta.read(path, tmp_path / "cache")
    monkeypatch.setattr(fasta, "_parsed", None)
    second = fasta.read(path, tmp_path / "cache")
    assert (second.fingerprint, second.contigs) == (first.fingerprint, first.contigs)
    assert second.notes == first.notes
    np.testing.assert_array_equal(jnp.asarray(second.tokens), first.tokens)


@pytest.mark.promise("Bad input: FASTA that cannot be trusted is refused with file and place")
def test_changed_file_is_read_again_even_with_an_older_date(tmp_path):
    path = written(tmp_path, b">a\nACGT\n")
    fasta.read(path, tmp_path / "cache")
    path.write_bytes(b">a\nTTTT\n")
    os.utime(path, (1e9, 1e9))
    assert contents(fasta.read(path, tmp_path / "cache")) == {"a": "TTTT"}


@pytest.mark.promise("Damage: a damaged genome cache is noticed and rebuilt")
@pytest.mark.parametrize("harm", ["cut", "bases", "about", "older"])
def test_a_damaged_cache_is_noticed_and_rebuilt(tmp_path, harm):
    path = written(tmp_path, TINY.read_bytes())
    first = fasta.read(path, tmp_path / "cache")
    (cached,) = (tmp_path / "cache").iterdir()
    with np.load(cached) as stored:
        arrays = dict(stored)
    if harm == "cut":
        cached.write_bytes(cached.read_bytes()[:-9])
    elif harm == "bases":
        np.savez(cached, **arrays | {"bases": arrays["bases"] ^ 1})
    elif harm == "about":
        np.savez(cached, **arrays | {"about": str(arrays["about"]).replace("chr1", "chr2")})
    else:
        np.savez(cached, tokens=first.tokens)
    with pytest.raises(ValueError, match=cached.name):
        genome.load(cached)
    assert fasta.read(path, tmp_path / "cache").fingerprint == first.fingerprint
    assert genome.load(cached).fingerprint == first.fingerprint


def test_nothing_is_written_beside_the_file_and_no_temporary_copy_remains(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    path = written(folder, compress(TINY.read_bytes()))
    folder.chmod(0o555)
    fasta.read(path, tmp_path / "cache")
    folder.chmod(0o755)
    assert list(folder.iterdir()) == [path]
    (cached,) = (tmp_path / "cache").iterdir()
    assert cached.suffix == ".npz"


def test_default_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for own, folder in {"": "birdiedna", " ": "birdiedna", "~/own": "own"}.items():
        monkeypatch.setenv("BIRDIEDNA_CACHE", own)
        assert files.default_cache() == tmp_path / folder


PACKED = compress(TINY.read_bytes())


@pytest.mark.promise("Bad input: FASTA that cannot be trusted is refused with file and place")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"<!DOCTYPE html>\n<html>", "web page.*download fail"),
        (compress(b"<html>"), "web page"),
        (compress(compress(b">a\nACGT\n")), "compressed twice by gzip; unpack it once"),
        (b"\x02" + bytes(20), "binary data; convert it to FASTA text"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (bz2.compress(b">a\nACGT\n"), "compressed by bzip2; unpack it with bunzip2"),
        (lzma.compress(b">a\nACGT\n"), "compressed by xz; unpack"),
        (b"PK\3\4" + bytes(26), "a zip archive or an Excel table"),
        (b"\x43\x27\x41\x1a" + bytes(12), "2bit; .* twoBitToFa"),
        (compress(b"BAM\x01" + bytes(12)), "BAM; .* `samtools fasta`"),
        (">a\nACGT\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
        (b"{\\rtf1\\ansi >a\\par ACGT}", "rich text: save it as plain text"),
        (b"track name=x\nchr1\t0\t9\n", "looks like BED, which needs a genome"),
        (b"##fileformat=VCFv4.2\n", "looks like VCF, which `birdiedna variants` reads"),
        (b'{"sequence": "ACGT"}\n', "JSON is not supported: .*.csv"),
        (b"ACGT\n", "first line is 'ACGT'; FASTA starts with"),
        (b"ID   X56734; SV 1; linear;\n", "GenBank or EMBL: save the sequence as FASTA"),
        (b"chr1\t6000\t6\t60\t61\n", "FASTA starts with a `>name` line; if it is a table"),
        (bytes(5).rjust(257, b"a") + b"ustar", "a tar archive; unpack it"),
        (b">a\nACGT\n>b\rACGT\r>c\rAC\n", "line 3: lines end in CR only"),
        (b">a\n>b\n", "2 headers but no bases"),
        (b">a\nACgt\nac*T\n", r"record 'a', offset 6: byte 42 \('\*'\)"),
        (b">a\nACGT\n>b\nAC T\n", r"record 'b', offset 2: byte 32"),
        (b">a\nACGT  \n", r"record 'a', offset 4: byte 32 .*; delete blanks"),
        (b">a\nAC\0T\n", r"offset 2: byte 0"),
        (">a\nACéT\n".encode(), r"record 'a', offset 2: byte 195"),
        (b">a\nAC\n>b\nGG\n>a x\nTT\n", "record 'a' in line 1 and again in line 5"),
        (b">a\nACGT\nA\nAC*T\n", r"record 'a', offset 7: byte 42"),
        (b">a\nACGT\nA\nACGT\n>b\nG\n>a\nGG\n", "record 'a' in line 1 and again in line 7"),
        (b">\nACGT\n", "line 1: a record without a name; write `>name`"),
        (b">a\nAC\n>" + b"x" * 1001 + b"\nAC\n", "line 3: the name has 1,001 letters; .*"),
        (b">>chr20\nACGT\n", "line 1: a record without a name"),
        (b">a\nAC\n> \nACGT\n", "line 3: a record without a name"),
        (b";a\nACGT\n>b\nAC\n", "given, line 2: text before the first"),
        (b">a\n\xff\xfe\x00\n", "offset 0: byte 255"),
        (PACKED[:-20], "cut short.*download"),
        (PACKED[:-4] + b"\0\0\0\0", "damaged"),
    ],
)
def test_broken_file_is_refused_in_one_line_that_names_it(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=message) as caught:
        fasta.read(path, tmp_path / "cache")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_a_missing_file_and_a_cache_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.fa: no such file; give the path"):
        fasta.read(tmp_path / "none.fa", tmp_path)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path.name}: a folder; give the path of a"):
        fasta.read(tmp_path)
    blocked = written(tmp_path, b"a file", "cache")
    with pytest.raises(OSError, match="cache folder .* is not writable.*BIRDIEDNA_CACHE"):
        fasta.read(TINY, blocked)


def test_a_file_that_changes_while_it_is_read_is_refused_and_not_cached(tmp_path, monkeypatch):
    path, parsed = written(tmp_path, ">a\nACGT\n"), fasta._parsed

    def slowly(path):
        found = parsed(path)
        path.write_text(">a\nACGTAC\n")
        return found

    monkeypatch.setattr(fasta, "_parsed", slowly)
    with pytest.raises(ValueError, match="changed while it was read; wait until it is copied"):
        fasta.read(path, tmp_path / "cache")
    monkeypatch.undo()
    assert contents(fasta.read(path, tmp_path / "cache")) == {"a": "ACGTAC"}


@pytest.mark.promise("Runs: of two processes that need the same cache one writes, the other waits")
def test_one_of_two_processes_reads_a_new_genome_and_the_other_waits(tmp_path, monkeypatch, caplog):
    path, cache, parsed = written(tmp_path, ">a\nACGT\n"), tmp_path / "cache", fasta._parsed
    cache.mkdir()
    monkeypatch.setattr(fasta, "_parsed", lambda _: pytest.fail("read twice"))
    with ThreadPoolExecutor(1) as other:
        with fasta.locked(cache / f"{fasta._key(path)}.lock", ""):
            waiting = other.submit(fasta.read, path, cache)
            while "another process is reading it; waiting" not in caplog.text:
                assert not waiting.done()
                time.sleep(0.01)
            genome.save(parsed(path), cache / f"{fasta._key(path)}.npz")
        assert contents(waiting.result()) == {"a": "ACGT"}
    assert [file.suffix for file in cache.iterdir()] == [".npz"]


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cache_without_room_is_named_with_bytes_and_remedy(tmp_path, monkeypatch, when):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if when == "before":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
        monkeypatch.setattr(fasta, "_parsed", lambda _: pytest.fail("read in vain"))
    else:
        monkeypatch.setattr(np, "savez", full)
    path = written(tmp_path, ">a\n" + "ACGT" * 100)
    message = f"cache folder {tmp_path / 'cache'}: .*; 100 bytes are needed, 5 are free; "
    if when == "after":
        message = "No space left on device; 100 bytes are needed, .* BIRDIEDNA_CACHE"
    with pytest.raises(OSError, match=message):
        fasta.read(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.promise("Bad input: FASTA that cannot be trusted is refused with file and place")
def test_an_index_beside_the_file_is_never_read(tmp_path):
    path = written(tmp_path, b">a\nACGT\n>b\nGG\n", "x.fa")
    (tmp_path / "x.fa.fai").write_text("a\t400\t2\t3\t9\nchrZ\t7\t1\t1\t2\n")
    assert contents(fasta.read(path, tmp_path / "cache")) == {"a": "ACGT", "b": "GG"}


@pytest.mark.promise("Bad input: FASTA that cannot be trusted is refused with file and place")
@pytest.mark.parametrize("size", [1, 17, 28, 400, 2_000])
@pytest.mark.parametrize("packed", [compress, bgzip])
def test_gzip_cut_anywhere_is_refused_and_leaves_no_cache(tmp_path, packed, size):
    rng = random.Random(0)
    text = ">a\n" + "".join(rng.choice("ACGT") for _ in range(9_000)) + "\n"
    path = written(tmp_path, packed(text.encode())[:-size], "x.fa.gz")
    with pytest.raises(ValueError, match="cut short|without end marker"):
        fasta.read(path, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@needs_shared
def test_chromosome_20_gives_the_same_tokens_packed_or_plain_as_pyfaidx(tmp_path):
    bgzipped = SHARED / "genomes" / "human.GRCh37.chr20.fa.gz"
    tokens = fasta.read(bgzipped, tmp_path).tokens
    letters = np.frombuffer(b"ACGTN", np.uint8)[tokens - vocab.A].tobytes()
    assert hashlib.md5(letters).hexdigest() == "0dec9660ec1efaaf33281c0d5ea2560f"
    with gzip.open(bgzipped) as file:
        text = file.read(9_000_000)
    plain = written(tmp_path, text, "plain.fa")
    gzipped = written(tmp_path, compress(text, 1), "gzip.fa.gz")
    for path in (plain, gzipped):
        found = fasta.read(path, tmp_path).tokens
        assert np.array_equal(found, tokens[: len(found)])
    judge = pyfaidx.Fasta(str(plain), as_raw=True)["chr20"]
    for start in np.random.default_rng(0).integers(0, len(found) - 1_024, 1_000):
        assert judge[start : start + 1_024].encode() == letters[start : start + 1_024]
