"""The archives that the sample is made from: pins, download, members.

Every archive and every member is checked against its sha256 before a byte of it is used.
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple


class Member(NamedTuple):
    """One file of an archive: what it holds, its path there, the sha256 of its bytes."""

    holds: str
    path: str
    sha256: str


class Source(NamedTuple):
    """One pinned package: name, version, archive file, sha256, licence, members that are used."""

    package: str
    version: str
    archive: str
    sha256: str
    licence: str
    members: tuple[Member, ...]


_DOC = "./usr/share/doc/"

SOURCES = (
    Source(
        "smalt-examples",
        "0.7.6-12",
        "smalt-examples_0.7.6-12_all.deb",
        "ffb01b7ff91cd29bd45c980cdeea90d986146dd2e907fd9e365d3a8fa75b0751",
        "GPL-3",
        (
            Member(
                "chrX",
                _DOC + "smalt/test/data/hs37chrXtrunc.fa.gz",
                "01fe793d0b77f91fa9d2edb8b269d9bc480cf71df469dce4be6e45bec25c749a",
            ),
        ),
    ),
    Source(
        "vt-examples",
        "0.57721+ds-3",
        "vt-examples_0.57721+ds-3_all.deb",
        "277c0ef50f4cda40f2dd837f90b6d837155ecd5b8889797683fe63375b017b56",
        "MIT",
        (
            Member(
                "chr20",
                _DOC + "vt/examples/ref/20.fa.gz",
                "83c80b3fb23822ff0a66f26306e46f5db3c83d48fcff68bcddc353a3d8ef581b",
            ),
        ),
    ),
    Source(
        "augustus-doc",
        "3.5.0+dfsg-2",
        "augustus-doc_3.5.0+dfsg-2_all.deb",
        "8427ef32b4f345dc336066215390572f242c79818bcb6a709df87b4be43fc71b",
        "Artistic",
        (
            Member(
                "chr3",
                _DOC + "augustus/tutorial/data/chr3.42M.fa",
                "cc1383731b272c9587eac66c9dc19439fbddadee0414bafa3b996cda44c27029",
            ),
            Member(
                "chr5",
                _DOC + "augustus/tutorial/data/chr5.124M.fa",
                "248fe24571c969cb83303384205e7de28c1f7fd842431a305b1da9e2f9530e4a",
            ),
        ),
    ),
    Source(
        "spliceai",
        "1.3.1",
        "spliceai-1.3.1-py2.py3-none-any.whl",
        "63c633b8de6803d4ffb613e6ef62f1a896fec9fc13245c0f000ff7adea279776",
        "GPL-3 (the wheel is opened as a zip file; its code is neither installed nor imported)",
        (
            Member(
                "genes",
                "spliceai/annotations/grch37.txt",
                "16e495da074e965f46f60ced4e73292843e949051d2dc31dd521da3fd7615dce",
            ),
        ),
    ),
)


def verified(raw: bytes, sha256: str, what: str) -> bytes:
    """Pass the bytes on when their sha256 is the pinned one.

    Raises:
      ValueError: the sha256 differs; the message names the file and both sums.
    """
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise ValueError(
            f"{what} has sha256 {found}, expected {sha256}; delete it and fetch the pinned version"
        )
    return raw


def _commands(source: Source) -> list[list[str]]:
    if source.archive.endswith(".whl"):
        wheel = f"{source.package}=={source.version}"
        return [[sys.executable, "-m", "pip", "download", "-q", "--no-deps", wheel]]
    download = ["apt-get", "download", f"{source.package}={source.version}"]
    return [download, ["apt-get", "update"], download]


def fetch(source: Source, cache: Path) -> bytes:
    """Read the archive from the cache folder, downloading it first when it is not there.

    Debian packages come through `apt-get download` (package lists are refreshed once if it
    fails), the wheel through `pip download`.

    Raises:
      ValueError: the download failed, or the archive is not the pinned one.
    """
    path = cache / source.archive
    cache.mkdir(parents=True, exist_ok=True)
    for command in _commands(source):
        if not path.exists() and shutil.which(command[0]):
            subprocess.run(command, cwd=cache, check=False)
    if not path.exists():
        raise ValueError(
            f"could not download {source.archive}; put this file into the folder given by --cache"
        )
    return verified(path.read_bytes(), source.sha256, str(path))


def unpack(source: Source, archive: bytes) -> dict[str, bytes]:
    """The members of one archive, by what they hold.

    A `.deb` is opened with `dpkg-deb --fsys-tarfile`, a wheel as a zip file.

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
    """All pinned members of all sources, by what they hold (`chrX`, `chr20`, ..., `genes`)."""
    held: dict[str, bytes] = {}
    for source in SOURCES:
        held |= unpack(source, fetch(source, cache))
    return held
