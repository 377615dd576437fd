"""Download files over HTTP and from the Hugging Face hub, with resume and retries.

Addresses must be https, or http on this machine. Redirects are followed here, so that every new
address is checked. The hub client gives only addresses and checksums: its own download (2.4) checks
nothing but the size and cannot resume. Archives are unpacked atomically into their own folder.
"""

import json
import logging
import lzma
import os
import re
import shutil
import stat
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from tqdm import tqdm

from birdiedna import __version__
from birdiedna.data import catalog, files, stored

#: Bytes read at once; a lost connection loses at most this much of the received data.
_BLOCK = 1 << 14
#: Without a terminal, progress is printed every tenth of a file or, if more, this many bytes.
_LINE_BYTES = 50_000_000
_HOPS = 5
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
#: HTTP statuses worth a retry.
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
#: Attempts in a row without progress; the wait after the first, which doubles; the read timeout.
ATTEMPTS, PAUSE_S, TIMEOUT_S = 4, 1.0, 30.0
_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class Interrupted(Exception):
    """An attempt failed and is worth a retry; the message is the reason."""


def check_address(url: str, hosts: Collection[str] | None = None, start: str = "") -> None:
    """Refuse a forbidden address; `start` is the address that redirected to it.

    Raises ValueError if it is not https (http on this machine), contains a password, or its host is
    not in `hosts` (`.x` allows every subdomain of x, None allows any host).
    """
    origin = f" (redirected from {start})" if start else ""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        bare = url.rpartition("@")[2]  # without a password
        raise ValueError(f"{bare}{origin}: {error}; give one like https://host/my.fa") from None
    local = host in _LOOPBACK and (not start or urlsplit(start).hostname in _LOOPBACK)
    if parts.username or parts.password:
        raise ValueError(
            f"{parts.scheme}://...@{host}: give an address without user name and password"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError(
            f"{url}{origin}: not an https address; give one, or the path of a file on this machine"
        )
    if not host:
        raise ValueError(f"{url}{origin}: no host; give an address such as https://host/my.fa")
    known = hosts is None or host in hosts
    if not known and not any(h[0] == "." and host.endswith(h) for h in hosts or ()):
        raise ValueError(
            f"{url}{origin}: host {host} is not an allowed host; download the file by hand and "
            "give it with --from-file"
        )


def _retried(attempt: Callable[[], T], address: str, progress: Callable[[], int] = lambda: 0) -> T:
    """Retry until an attempt succeeds; the wait doubles after each attempt without progress.

    Raises ConnectionError with the last reason after `ATTEMPTS` in a row without progress.
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
    """Download the complete file at `url` to `part`, resuming an interrupted download.

    On failure the received bytes are kept; `<part>.json` records their version.

    Raises:
      ValueError: the address, or one it redirects to, is forbidden.
      FileNotFoundError: the server does not have the file (404, 410).
      ConnectionError: no connection, or every attempt was interrupted or timed out.
      OSError: another HTTP status, a full disk, or the server does not send the file's size.
    """
    check_address(url, hosts)
    try:
        _retried(lambda: _attempt(url, part, hosts), url, lambda: _size(part))
    except ConnectionError as error:
        if not _size(part):
            raise
        kept = f"{_size(part):,} bytes are kept, and the same command resumes"
        raise ConnectionError(f"{error}; {kept}") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _attempt(url: str, part: Path, hosts: Collection[str] | None) -> None:
    """Send one request and append the body to the temporary file."""
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
        raise ValueError(f"{url}: invalid address ({error}); check its spelling") from error
    except requests.Timeout as error:
        raise Interrupted(f"no answer from {urlsplit(url).hostname} for {TIMEOUT_S:g} s") from error
    except requests.RequestException as error:
        raise Interrupted(_unreached(url, error)) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise Interrupted(f"the transfer stalled for {TIMEOUT_S:g} s") from error
    except urllib3.exceptions.HTTPError as error:
        raise Interrupted(f"the transfer was interrupted after {_size(part):,} bytes") from error


def _unreached(url: str, error: Exception) -> str:
    """Return a message about a failed connection, with the type of its cause."""
    cause = getattr(error.args[0] if error.args else error, "reason", error)
    return f"no connection to {urlsplit(url).hostname} ({type(cause).__name__})"


def _answer(url: str, headers: dict[str, str], hosts: Collection[str] | None) -> requests.Response:
    """Return the response after redirects to allowed addresses, with its body unread."""
    place = url
    for _ in range(_HOPS + 1):
        try:
            answer = requests.get(
                place, headers=headers, stream=True, allow_redirects=False, timeout=TIMEOUT_S
            )
        except OSError:
            raise
        except ValueError as error:  # it also parses the address of a redirect
            raise ValueError(
                f"{url}: redirected to no address ({error}); find its new one"
            ) from None
        if answer.status_code in (200, 206, 416):
            return answer
        answer.close()
        if not answer.is_redirect:
            _refuse(url, answer.status_code, answer.reason)
        place = urljoin(place, answer.headers["Location"])
        check_address(place, hosts, start=url)
    raise OSError(f"{url}: redirected more than {_HOPS} times; find its new address")


def _refuse(url: str, code: int, reason: str = "") -> NoReturn:
    """Raise the error of an HTTP status."""
    status = f"HTTP {code} {reason}".rstrip()
    if code in _TEMPORARY:
        raise Interrupted(status)
    if code in (404, 410):
        raise FileNotFoundError(f"{url}: {status}: the server does not have this file")
    raise OSError(f"{url}: {status}: the server refuses the request")


class _Kept(NamedTuple):
    """What an earlier attempt received: bytes, the server's version tag, size of the whole file."""

    bytes: int = 0
    version: str = ""
    total: int | None = None


def _kept(url: str, part: Path) -> _Kept:
    """Return what can be resumed: bytes from this address with a version tag."""
    try:
        note = stored.read_json(_note(part), _NOTE)
        size = part.stat().st_size
        if note["url"] == url and (note["version"] or size == note["total"]):
            return _Kept(size, note["version"], note["total"])
    except (OSError, ValueError):
        pass
    return _Kept()


#: Shape (`stored.misfit`) of the note on what was received.
_NOTE = {"url": str, "version": str, "total": (int, NoneType)}


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def discard(part: Path) -> None:
    """Remove a temporary file and its note."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _extent(url: str, answer: requests.Response, part: Path, kept: _Kept) -> tuple[int, int | None]:
    """Return the offset of the body and the size of the whole file, None for a chunked transfer.

    A temporary file of another version is removed; the body replaces it if it is the whole file,
    else the next attempt does.
    """
    tag = answer.headers.get("ETag", "")  # `If-Range` needs a strong one
    version = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    total: int | None
    if answer.status_code == 200:
        size = answer.headers.get("Content-Length", "")
        total = int(size) if size.isdigit() else None
        if total is None and "chunked" not in answer.headers.get("Transfer-Encoding", "").lower():
            raise OSError(
                f"{url}: the server does not send the file's size, so an interruption would go "
                "unnoticed; download it by hand and give it with --from-file"
            )
        discard(part)
        with files.room(part.parent, total or _BLOCK):
            _note(part).write_text(json.dumps({"url": url, "version": version, "total": total}))
        return 0, total
    extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if answer.status_code == 206 and extent and version in ("", kept.version) and kept.bytes:
        start, total = int(extent[1]), int(extent[2])
        if start == kept.bytes and kept.total in (None, total):
            return start, total
    discard(part)
    raise Interrupted("the file on the server has changed; starting again")


def _receive(answer: requests.Response, part: Path, start: int, total: int | None) -> None:
    """Append the raw body and check that it is complete."""
    name, reported = part.name.removesuffix(".part"), start
    step = max((total or 0) // 10, _LINE_BYTES)
    room = files.room(part.parent, total - start if total else _BLOCK)
    look = {"desc": name, "unit": "B", "unit_scale": True, "disable": None}
    mode = "ab" if start else "wb"
    with room, part.open(mode) as file, tqdm(total=total, initial=start, **look) as bar:
        for block in answer.raw.stream(_BLOCK, decode_content=False):
            file.write(block)
            bar.update(len(block))
            if bar.disable and file.tell() - reported >= step:  # no terminal
                reported = file.tell()
                size = f" of {total:,}" if total else ""
                print(f"{name}: {reported:,}{size} bytes", file=sys.stderr, flush=True)
        received = file.tell()
    if total is not None and received != total:
        if received > total:
            discard(part)
        raise Interrupted(f"received {received:,} of {total:,} bytes")


def hosts() -> tuple[str, ...]:
    """Return the hosts of the catalogue and, if set, that of `$HF_ENDPOINT`."""
    hub = urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname
    return (*catalog.HOSTS, hub) if hub else catalog.HOSTS


def from_hub(hub: catalog.Hub, file: catalog.File) -> catalog.File:
    """Return the file with the hub's address, size and sha256 for the commit.

    Errors as in `download`; ValueError if a pinned revision has another commit (for `main` this is
    a warning), or the server is not a hub.
    """
    from huggingface_hub import hf_hub_url  # only now: in a notebook its import warns of widgets

    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    url = hf_hub_url(
        hub.repo, file.path, repo_type="dataset", revision=hub.revision, endpoint=endpoint
    )
    check_address(url, hosts())
    found = _retried(lambda: _metadata(url), url)
    if not found.commit_hash or found.size is None:
        raise ValueError(f"{url}: not a Hugging Face hub; check HF_ENDPOINT and proxies")
    if not found.commit_hash.startswith(hub.commit):
        message = f"{url}: commit {found.commit_hash}, expected {hub.commit}"
        if hub.revision != "main":
            raise ValueError(f"{message}; the server does not have the pinned revision")
        _LOG.warning("%s; the data set has changed since it was catalogued", message)
    # Files outside git-lfs have a git checksum of 40 digits instead.
    sha256 = found.etag if re.fullmatch("[0-9a-f]{64}", found.etag or "") else None
    return file._replace(urls=(url,), bytes=found.size, sha256=sha256)


def _metadata(url: str) -> Any:
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return get_hf_file_metadata(url, token=False, timeout=TIMEOUT_S)
    except OfflineModeIsEnabled as error:
        raise ConnectionError(f"{url}: HF_HUB_OFFLINE is set; unset it to use the hub") from error
    except HfHubHTTPError as error:
        _refuse(url, error.response.status_code)
    except Exception as error:
        # Its releases use requests, httpx or httpx2, with three kinds of connection error.
        raise Interrupted(_unreached(url, error)) from error


#: An archive that unpacks to more than this many times its size is refused as a zip bomb.
_EXPANSION = 100
_LONGEST = 200
#: Errors of reading a damaged zip; bzip2 raises OSError without a number.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError),
)
_PARTS = ("train.csv", "dev.csv", "test.csv")


def unpack(archive: Path, folder: Path, layout: str, expected: Collection[str] = ()) -> list[str]:
    """Unpack a zip into the folder, replacing folders of the same names; return the new names.

    Layout "folders" unpacks everything unchanged; "sets" moves `.../<group>/<set>/train.csv` (and
    dev, test) to `<group>_<set>/train.csv` and skips the rest. ValueError if it is not a zip,
    damaged, too large for its size, has a member outside the folder, or none of the expected
    folders.
    """
    temporary = folder / ".unpacking"
    with files.scratch(temporary, folder):
        try:
            with zipfile.ZipFile(archive) as opened:
                _extract(archive, opened, temporary, layout)
        except _UNREADABLE as error:
            if getattr(error, "errno", None):  # an error of the disk, not of the archive
                raise
            raise ValueError(
                f"{archive.name}: not a readable zip ({error}); download it again"
            ) from error
        new = sorted(path.name for path in temporary.iterdir() if path.is_dir())
        if not new or expected and not {*new} & {*expected}:
            wanted = ", ".join([*expected][:3]) or "any"
            raise ValueError(
                f"{archive.name} contains {', '.join(new[:3]) or 'no folder'}, not {wanted}; give "
                "the right archive"
            )
        for name in new:
            shutil.rmtree(folder / name, ignore_errors=True)
            os.replace(temporary / name, folder / name)
    return new


def _extract(archive: Path, opened: zipfile.ZipFile, temporary: Path, layout: str) -> None:
    limit = _EXPANSION * archive.stat().st_size
    taken: set[Path] = set()
    for member, place in list(_places(archive, opened, layout)):
        path = temporary / place
        if not taken.isdisjoint((place, *place.parents)):
            raise ValueError(f"{archive.name}: two members would become {place}; refused")
        taken.add(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as source, path.open("xb") as target:
            while block := source.read(1 << 16):
                limit -= len(block)
                if limit < 0:
                    raise ValueError(
                        f"{archive.name} unpacks to more than {_EXPANSION} times its size; refused"
                    )
                target.write(block)


def _places(
    archive: Path, opened: zipfile.ZipFile, layout: str
) -> Iterator[tuple[zipfile.ZipInfo, Path]]:
    """Check all members and yield each file to unpack with its new path."""
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
        raise ValueError(f"{archive.name}: member {name[:80]!r} is not a file name; refused")
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{archive.name}: member {name!r} is a link or device; refused")
    if member.flag_bits & 1:
        raise ValueError(f"{archive.name}: member {name!r} is encrypted; refused")
