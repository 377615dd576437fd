"""Unpack an archive of tasks: only into its own folder, and whole or not at all."""

import lzma
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

#: More than this many times its own size is no data set.
_EXPANSION = 100
_LONGEST = 200
#: What reading a damaged zip may raise; OSError comes from bzip2, then without a number.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    NotImplementedError,
)
_PARTS = ("train.csv", "dev.csv", "test.csv")


def unpack(archive: Path, folder: Path, layout: str, expected: Collection[str] = ()) -> list[str]:
    """Unpack a zip into the folder; returns the names of the folders that are new in it.

    Args:
      archive: the file.
      folder: where to; what is there under the same names is replaced.
      layout: "folders" keeps everything as it lies, "sets" takes `.../<group>/<set>/train.csv`
        (and dev, test) to `<group>_<set>/train.csv` and leaves out the rest.
      expected: folders of which one at least has to be there.

    Raises:
      ValueError: no zip, damaged, too large for its size, a member that would lie outside, or
        nothing of what is expected.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as name:
        passing = Path(name)
        try:
            with zipfile.ZipFile(archive) as opened:
                _extract(archive, opened, passing, layout)
        except _UNREADABLE as error:
            if getattr(error, "errno", None):  # the disk failed, not the archive
                raise
            raise ValueError(f"{archive.name}: no readable zip ({error}); get it again") from error
        made = sorted(path.name for path in passing.iterdir() if path.is_dir())
        if not made or expected and not {*made} & {*expected}:
            wanted = ", ".join([*expected][:3]) or "any"
            raise ValueError(f"{archive.name}: holds {made[:3]}, not {wanted}: another archive?")
        for name in made:
            shutil.rmtree(folder / name, ignore_errors=True)
            os.replace(passing / name, folder / name)
    return made


def _extract(archive: Path, opened: zipfile.ZipFile, passing: Path, layout: str) -> None:
    limit = _EXPANSION * archive.stat().st_size
    taken: set[Path] = set()
    for member, place in list(_places(archive, opened, layout)):
        path = passing / place
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
    """Every file of the archive that is to be kept, and where; all members are checked."""
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
        raise ValueError(f"{archive.name}: member {name!r} would lie outside its folder; refused")
    if re.search(r"[\\:\x00-\x1f]", name) or max(map(len, path.parts)) > _LONGEST:
        raise ValueError(f"{archive.name}: member {name[:80]!r} has a name of no file; refused")
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{archive.name}: member {name!r} is a link or device; refused")
    if member.flag_bits & 1:
        raise ValueError(f"{archive.name}: member {name!r} is encrypted; refused")
