"""Files of arrays: written whole or not at all, and read only as they were written.

:func:`write_whole` is the one way in which the package writes a file.  What it writes of arrays are
npz files, which ``numpy.load`` reads, too, with the digest of all their bytes at the end: a file in
which a single bit has changed is refused.  Nothing is ever pickled or unpickled.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irl_lib.support.checks import check_type

Arrays = dict[str, NDArray[Any]]

MARK = b"sha256 "  # in the archive's comment, before the digest
DIGITS = 64  # of a digest
FREE = 2**28  # bytes that an archive may always unpack to
RATIO = 100  # of its own size, how much it may unpack to beyond that
BEGINNINGS = {
    b"\x89HDF\r\n": "an HDF5 file (irl_lib.demonstrations.from_minari reads Minari's)",
    b"\x93NUMPY": "a single array, as numpy.save writes it",
    b"\x80": "a pickle, and nothing is ever unpickled",
    b"\x1f\x8b": "compressed by gzip",
}
DAMAGE = (  # what zipfile, zlib and numpy end in when a file is none of theirs, or half of one
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    OSError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


# --- whole files --------------------------------------------------------------------------------


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file; one that exists is replaced whole or, when anything fails, left as it was.

    Several threads and processes may write the same file, and others read it meanwhile: each finds
    the whole content of one of them.  Where ``path`` is a link, the file that it leads to is
    replaced; an old file's permissions are kept.

    Raises:
        ValueError: when ``path`` is no path, or leads to something that is no file, or ``content``
            is something else than bytes.
        OSError: when the file can't be written.
    """
    target = Path(os.path.realpath(check_path(path)))
    check_type("content", content, bytes)
    beside = target.with_name(f".{target.name[:40]}.{uuid.uuid4().hex}.part")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            beside.chmod(stat.S_IMODE(target.stat().st_mode))
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def check_path(path: Any, name: str = "path") -> Path:
    """``path`` as one at which a file is, or can be.

    Raises:
        ValueError: when it is none, or leads to something else.
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ValueError(f"{name} is {path!r}; expected a text or a pathlib.Path")
    place = Path(path)
    try:
        is_there, is_folder, is_file = place.exists(), place.is_dir(), place.is_file()
    except OSError as error:  # a name that is too long, a folder that nobody may look into
        raise ValueError(f"{name} {os.fspath(path)!r} can't be a file: {error}") from error
    if is_folder:
        raise ValueError(f"{name} {os.fspath(path)!r} is a folder; expected a file")
    if is_there and not is_file:
        raise ValueError(f"{name} {os.fspath(path)!r} is a device or a pipe; expected a file")
    return place


# --- arrays -------------------------------------------------------------------------------------


def pack(arrays: Mapping[str, Any], *, compress: bool) -> bytes:
    """An npz file with these arrays, to the last bit, and the digest of it.

    Where they shrink so much that :func:`unpack` would take the file for a bomb, they are not
    compressed.

    Raises:
        ValueError: for an array of objects.
    """
    checked = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in checked.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds objects; expected numbers: nothing is pickled")
    buffer = io.BytesIO()
    save: Any = np.savez_compressed if compress else np.savez
    save(buffer, **checked)
    if compress and sum(each.nbytes for each in checked.values()) > _most(buffer.tell()):
        return pack(checked, compress=False)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = MARK + DIGITS * b"0"
    return _with_digest(buffer.getvalue()[:-DIGITS])


def unpack(content: bytes) -> Arrays:
    """The arrays of an npz file, which need not have a digest if another program wrote it.

    Raises:
        ValueError: saying what it is, when it is none, or no whole one, when a bit of it has
            changed, or when it would take more than ``FREE`` and ``RATIO`` allow.
    """
    if not content:
        raise ValueError("it is empty")
    if not content.startswith(b"PK"):
        kinds = (kind for start, kind in BEGINNINGS.items() if content.startswith(start))
        raise ValueError(f"it is {next(kinds, 'something else than an npz file')}")
    if has_digest(content) and content != _with_digest(content[:-DIGITS]):
        raise ValueError("it was changed or damaged after it had been written")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            listed = archive.infolist()
            _check_listed(listed, content)
            return {each.filename.removesuffix(".npy"): _member(archive, each) for each in listed}
    except DAMAGE as error:
        raise ValueError(f"it is no whole npz file: {error}") from error


def has_digest(content: bytes) -> bool:
    """Whether a file ends in a digest, whatever that says."""
    return content[-DIGITS - len(MARK) : -DIGITS] == MARK


def text(arrays: Arrays, name: str) -> str:
    """The text that one of the arrays is.

    Raises:
        ValueError: when it is missing, or something else.
    """
    array = arrays.get(name)
    if array is None or array.shape or array.dtype.kind != "U":
        raise ValueError(f"its entry {name!r} is {'missing' if array is None else 'no text'}")
    return str(array)


def _with_digest(content: bytes) -> bytes:
    return content + hashlib.sha256(content).hexdigest().encode()


def _most(size: int) -> int:
    """How many bytes a file of this size may unpack to."""
    return FREE + RATIO * size


def _check_listed(listed: list[zipfile.ZipInfo], content: bytes) -> None:
    """Whether the entries of an archive are all there, arrays, and not too large."""
    declared, most = sum(each.file_size for each in listed), _most(len(content))
    if declared > most:
        raise ValueError(f"it would unpack to {declared} bytes; expected {most} at most")
    comment = len(MARK) + DIGITS if has_digest(content) else 0
    end = struct.unpack("<4s6xH8xH", content[-22 - comment :][:22])  # zip's last record
    if end != (b"PK\5\6", len(listed), comment):
        raise ValueError("its end says something else than its directory")
    names = [each.filename for each in listed]
    if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in names):
        shown = ", ".join(names[:5]) or "none"
        raise ValueError(f"its entries are {shown}; expected arrays with names of their own")


def _member(archive: zipfile.ZipFile, listed: zipfile.ZipInfo) -> NDArray[Any]:
    """An array in numpy's format; nothing is allocated for what isn't there."""
    with archive.open(listed) as member:
        # One byte beyond the end, because only there zipfile compares the checksum; and no more,
        # because the size in the directory may be a lie.
        content = member.read(listed.file_size + 1)
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, by_column, kind = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, by_column, kind = np.lib.format.read_array_header_2_0(stream)
    if kind.hasobject:
        raise ValueError("one of its arrays holds objects, and nothing is ever unpickled")
    flat = np.frombuffer(content, kind, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_column else "C").copy()
