"""Files over HTTP and from the Hugging Face hub: resumed, retried, complete or not at all.

Addresses are https, and http only on this machine. Redirects are followed by hand, so that each
new address is checked like the first. The hub is asked for addresses and checksums only: its own
download (2.4) checks the size alone and keeps nothing of an interrupted transfer. An archive of
tasks is unpacked only into its own folder, and completely or not at all.
"""

import json
import logging
import lzma
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from huggingface_hub import HfFileMetadata, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from tqdm import tqdm

from birdiedna import __version__
from birdiedna.data import catalog, files

#: Bytes read at once: what a cut connection can lose of what came before the cut.
_BLOCK = 1 << 14
#: Without a terminal a line is printed for every tenth of a file, but not for fewer bytes.
_LINE_BYTES = 50_000_000
_HOPS = 5
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: HTTP statuses that may be better next time.
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
#: Attempts in a row without progress, the wait after the first, which doubles, and the longest time
#: without any byte.
ATTEMPTS, PAUSE_S, TIMEOUT_S = 4, 1.0, 30.0
_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class Interrupted(Exception):
    """An attempt that may succeed next time; the message says what happened."""


def check_address(url: str, hosts: Collection[str] | None = None, start: str = "") -> None:
    """Refuse an address (`start`: of a redirect) that must not be asked.

    That is one that is not https (http on this machine), has a password, or another host than those
    allowed, of which `.x` stands for all below x; None allows any.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    here = host in _LOOPBACK and (not start or urlsplit(start).hostname in _LOOPBACK)
    origin = f" (redirected from {start})" if start else ""
    if parts.username or parts.password:
        raise ValueError(
            f"{parts.scheme}://...@{host}: an address without user name and password is needed"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise ValueError(
            f"{url}{origin}: not an https address; give one, or the path of a file on this machine"
        )
    if not host:
        raise ValueError(f"{url}{origin}: no host in it; give an address like https://host/my.fa")
    known = hosts is None or host in hosts
    if not known and not any(h[0] == "." and host.endswith(h) for h in hosts or ()):
        raise ValueError(
            f"{url}{origin}: host {host} is not in the table of hosts; get the file by other "
            "means and give it with --from-file"
        )


def _retried(attempt: Callable[[], T], address: str, progress: Callable[[], int] = lambda: 0) -> T:
    """Try until it succeeds, waiting twice as long after each attempt without progress.

    A ConnectionError with the last reason, if `ATTEMPTS` in a row made none.
    """
    failures, best = 0, progress()
    while True:
        try:
            return attempt()
        except Interrupted as error:
            reason = error
        failures = 1 if progress() > best else failures + 1
        best = max(best, progress())
        if failures >= ATTEMPTS:
            raise ConnectionError(f"{address}: {reason}; gave up after {failures} attempts")
        wait = PAUSE_S * 2 ** (failures - 1)
        name = urlsplit(address).path.rpartition("/")[2]
        _LOG.warning("%s: %s; trying again in %g s", name, reason, wait)
        time.sleep(wait)


def download(url: str, part: Path, hosts: Collection[str] | None = None) -> None:
    """Bring the complete file at `url` to `part`, resuming an earlier attempt that was cut.

    What was received is kept when this fails; `<part>.json` says of which version it is.

    Raises:
      ValueError: the address, or one it redirects to, is refused.
      FileNotFoundError: the server answers that there is no such file (404, 410).
      ConnectionError: no connection, or it was cut or stalled in every attempt.
      OSError: another HTTP status, no room on the disk, or no way to know the whole size.
    """
    check_address(url, hosts)
    try:
        _retried(lambda: _attempt(url, part, hosts), url, lambda: _size(part))
    except ConnectionError as error:
        if not _size(part):
            raise
        kept = f"{_size(part):,} bytes are kept, and the same command resumes from there"
        raise ConnectionError(f"{error}; {kept}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _attempt(url: str, part: Path, hosts: Collection[str] | None) -> None:
    """One request; all that comes is appended to the part file."""
    kept = _kept(url, part)
    if kept.bytes and kept.bytes == kept.total:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": f"birdiedna/{__version__}"}
    if kept.bytes:
        headers |= {"Range": f"bytes={kept.bytes}-", "If-Range": kept.version}
    try:
        with _answer(url, headers, hosts) as answer:
            _receive(answer, part, *_extent(url, answer, part, kept))
    except requests.exceptions.InvalidURL as error:
        raise ValueError(f"{url}: not a usable address ({error}); look at its spelling") from error
    except requests.Timeout as error:
        raise Interrupted(f"no answer from {urlsplit(url).hostname} for {TIMEOUT_S:g} s") from error
    except requests.RequestException as error:
        raise Interrupted(_unreached(url, error)) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise Interrupted(f"the transfer stalled for {TIMEOUT_S:g} s") from error
    except urllib3.exceptions.HTTPError as error:
        raise Interrupted(f"the transfer was cut after {_size(part):,} bytes") from error


def _unreached(url: str, error: Exception) -> str:
    """No connection, in words, with the name of what failed below."""
    cause = getattr(error.args[0] if error.args else error, "reason", error)
    return f"no connection to {urlsplit(url).hostname} ({type(cause).__name__})"


def _answer(url: str, headers: dict[str, str], hosts: Collection[str] | None) -> requests.Response:
    """The answer after redirects, each to an allowed address, with a body that can be read."""
    place = url
    for _ in range(_HOPS + 1):
        answer = requests.get(
            place, headers=headers, stream=True, allow_redirects=False, timeout=TIMEOUT_S
        )
        if answer.status_code in (200, 206, 416):
            return answer
        answer.close()
        if not answer.is_redirect:
            _refuse(url, answer.status_code, answer.reason)
        place = urljoin(place, answer.headers["Location"])
        check_address(place, hosts, start=url)
    raise OSError(f"{url}: redirected more than {_HOPS} times; look for its new address")


def _refuse(url: str, code: int, reason: str = "") -> NoReturn:
    """Raise what an HTTP status means."""
    status = f"HTTP {code} {reason}".rstrip()
    if code in _TEMPORARY:
        raise Interrupted(status)
    if code in (404, 410):
        raise FileNotFoundError(f"{url}: {status}: the server answers and has no such file")
    raise OSError(f"{url}: {status}: the server does not give the file")


class _Kept(NamedTuple):
    """What an earlier attempt left: bytes, the server's name of the version, the whole size."""

    bytes: int = 0
    version: str = ""
    total: int | None = None


def _kept(url: str, part: Path) -> _Kept:
    """What can be resumed: bytes of this address, of a version that the server can name."""
    try:
        note = json.loads(_note(part).read_text())
        size = part.stat().st_size
        if note["url"] == url and (note["version"] or size == note["total"]):
            return _Kept(size, note["version"], note["total"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return _Kept()


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def discard(part: Path) -> None:
    """Remove a part file and its note."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _extent(url: str, answer: requests.Response, part: Path, kept: _Kept) -> tuple[int, int | None]:
    """The first byte of the body and the size of the whole file, None if chunks mark the end.

    A part file of another version is removed: the body replaces it if it is the whole file, else
    another attempt does.
    """
    tag = answer.headers.get("ETag", "")  # a strong one names a version for `If-Range`
    version = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    total: int | None
    if answer.status_code == 200:
        size = answer.headers.get("Content-Length", "")
        total = int(size) if size.isdigit() else None
        if total is None and "chunked" not in answer.headers.get("Transfer-Encoding", "").lower():
            raise OSError(
                f"{url}: the server does not say how long the file is, so a cut would look "
                "like its end; get it by other means and give it with --from-file"
            )
        discard(part)
        _note(part).write_text(json.dumps({"url": url, "version": version, "total": total}))
        return 0, total
    extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if answer.status_code == 206 and extent and version in ("", kept.version) and kept.bytes:
        start, total = int(extent[1]), int(extent[2])
        if start == kept.bytes and kept.total in (None, total):
            return start, total
    discard(part)
    raise Interrupted("the server's file is another version than the part here; starting again")


def _receive(answer: requests.Response, part: Path, start: int, total: int | None) -> None:
    """Append the body as it comes, not decoded, and check that nothing is missing."""
    files.check_room(part.parent, (total or start) - start)
    name, said = part.name.removesuffix(".part"), start
    step = max((total or 0) // 10, _LINE_BYTES)
    bar = tqdm(total=total, initial=start, disable=None, desc=name, unit="B", unit_scale=True)
    with part.open("ab" if start else "wb") as file, bar:
        for block in answer.raw.stream(_BLOCK, decode_content=False):
            file.write(block)
            bar.update(len(block))
            if bar.disable and file.tell() - said >= step:  # no terminal: a log gets lines
                said = file.tell()
                of = f" of {total:,}" if total else ""
                print(f"{name}: {said:,}{of} bytes", file=sys.stderr, flush=True)
        got = file.tell()
    if total is not None and got != total:
        if got > total:
            discard(part)
        raise Interrupted(f"{got:,} of {total:,} bytes came")


def hosts() -> tuple[str, ...]:
    """The hosts of the catalogue and, where `$HF_ENDPOINT` names another hub, that one."""
    own = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname
    return (*catalog.HOSTS, own) if own else catalog.HOSTS


def stated(hub: catalog.Hub, file: catalog.File) -> catalog.File:
    """The file with its address, size and sha256 as the hub has them for the commit.

    Errors as `download`; a ValueError for another commit than the pinned one, or no hub.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    url = hf_hub_url(
        hub.repo, file.path, repo_type="dataset", revision=hub.revision, endpoint=endpoint
    )
    check_address(url, hosts())
    found = _retried(lambda: _metadata(url), url)
    if not found.commit_hash or found.size is None:
        raise ValueError(f"{url}: no answer of a Hugging Face hub; look at HF_ENDPOINT and proxies")
    if not found.commit_hash.startswith(hub.commit):
        said = f"{url}: commit {found.commit_hash}, expected {hub.commit}"
        if hub.revision != "main":
            raise ValueError(f"{said}; the server does not give the pinned revision")
        _LOG.warning("%s; the data set has changed since it was described", said)
    # Files outside git-lfs have a git checksum instead, of 40 letters.
    sha256 = found.etag if re.fullmatch("[0-9a-f]{64}", found.etag or "") else None
    return file._replace(urls=(url,), bytes=found.size, sha256=sha256)


def _metadata(url: str) -> HfFileMetadata:
    try:
        return get_hf_file_metadata(url, token=False, timeout=TIMEOUT_S)
    except OfflineModeIsEnabled as error:
        raise ConnectionError(f"{url}: HF_HUB_OFFLINE is set, so the hub is not asked") from error
    except HfHubHTTPError as error:
        _refuse(url, error.response.status_code)
    except Exception as error:
        # Its releases use requests, httpx or httpx2: no connection has three names.
        raise Interrupted(_unreached(url, error)) from error


#: An archive that unpacks to more than this many times its size is no data set.
_EXPANSION = 100
_LONGEST = 200
#: What reading a damaged zip may raise; OSError comes from bzip2, then without a number.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError),
)
_PARTS = ("train.csv", "dev.csv", "test.csv")


def unpack(archive: Path, folder: Path, layout: str, expected: Collection[str] = ()) -> list[str]:
    """Unpack a zip into the folder, in place of those of the same names; the names of the new ones.

    The layout "folders" keeps everything as it is, "sets" takes `.../<group>/<set>/train.csv` (and
    dev, test) to `<group>_<set>/train.csv` and leaves out the rest.

    Raises:
      ValueError: no zip, damaged, too large for its size, a member that would be outside, or
        none of the expected folders.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        temporary = Path(name)
        try:
            with zipfile.ZipFile(archive) as opened:
                _extract(archive, opened, temporary, layout)
        except _UNREADABLE as error:
            if getattr(error, "errno", None):  # the disk failed, not the archive
                raise
            raise ValueError(f"{archive.name}: no readable zip ({error}); get it again") from error
        made = sorted(path.name for path in temporary.iterdir() if path.is_dir())
        if not made or expected and not {*made} & {*expected}:
            wanted = ", ".join([*expected][:3]) or "any"
            raise ValueError(f"{archive.name}: contains {made[:3]}, not {wanted}: another archive?")
        for name in made:
            shutil.rmtree(folder / name, ignore_errors=True)
            os.replace(temporary / name, folder / name)
    return made


def _extract(archive: Path, opened: zipfile.ZipFile, temporary: Path, layout: str) -> None:
    limit = _EXPANSION * archive.stat().st_size
    taken: set[Path] = set()
    for member, place in list(_places(archive, opened, layout)):
        path = temporary / place
        if not taken.isdisjoint((place, *place.parents)):
            raise ValueError(f"{archive.name}: two members are to become {place}; refused")
        taken.add(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source, path.open("xb") as target:
            while block := source.read(1 << 16):
                limit -= len(block)
                if limit < 0:
                    raise ValueError(
                        f"{archive.name}: unpacks to more than {_EXPANSION} times its size, as no "
                        "data set does; nothing was kept"
                    )
                target.write(block)


def _places(
    archive: Path, opened: zipfile.ZipFile, layout: str
) -> Iterator[tuple[zipfile.ZipInfo, Path]]:
    """Every file to keep, and where; all members are checked."""
    for member in opened.infolist():
        _check_member(archive, member)
        parts = PurePosixPath(member.filename).parts
        if member.is_dir() or parts[0] == "__MACOSX":
            continue
        if layout == "folders" and len(parts) > 1:
            yield member, Path(*parts)
        elif layout == "sets" and parts[-1] in _PARTS and len(parts) > 2:
            yield member, Path("_".join(parts[-3:-1]), parts[-1])


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    mode = stat.S_IFMT(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{archive.name}: member {name!r} would be outside its folder; refused")
    if re.search(r"[\\:\x00-\x1f]", name) or max(map(len, path.parts)) > _LONGEST:
        raise ValueError(f"{archive.name}: member {name[:80]!r} has a name of no file; refused")
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{archive.name}: member {name!r} is a link or device; refused")
    if member.flag_bits & 1:
        raise ValueError(f"{archive.name}: member {name!r} is encrypted; refused")
