"""Files: whole or absent, from any thread; and a changed bit, a bomb or a foreign file noticed."""

from __future__ import annotations

import io
import os
import struct
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irl_lib.support import files

ARRAYS = {
    "numbers": np.array([0.1, -0.0, np.inf]),
    "text": np.array("Pendulum-v1"),
    "none": np.zeros((0, 3), dtype=np.float32),
    "by_column": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


SHAPE = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}}}"


def zipped(entries: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(text: str, version: bytes = b"\1\0") -> bytes:
    """A file of numpy's format with any header, and eight bytes of data."""
    content = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(content)) + content + bytes(8)


# --- whole files --------------------------------------------------------------------------------


def test_threads_write_one_file_while_others_read_it(tmp_path: Path) -> None:
    path, failures = tmp_path / "shared.npz", []
    path.write_bytes(files.pack({"x": np.full(5_000, -1.0)}, compress=False))
    at_work = threading.Barrier(6)

    def write(number: int) -> None:
        at_work.wait()
        for i in range(25):
            content = files.pack({"x": np.full(5_000, 100.0 * number + i)}, compress=False)
            files.write_whole(path, content)

    def read() -> None:
        at_work.wait()
        for _ in range(100):
            assert len(np.unique(files.unpack(path.read_bytes())["x"])) == 1

    def noted(work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:  # a thread's own would be lost
            failures.append(error)

    threads = [threading.Thread(target=noted, args=(write, i)) for i in range(4)]
    threads += [threading.Thread(target=noted, args=(read,)) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failures
    assert os.listdir(tmp_path) == ["shared.npz"]
    assert files.unpack(path.read_bytes())["x"][0] in [100.0 * i + 24 for i in range(4)]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755])
def test_an_old_files_permissions_are_kept(tmp_path: Path, mode: int) -> None:
    path, plain = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"old")
    path.chmod(mode)
    files.write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    plain.write_bytes(b"")
    files.write_whole(tmp_path / "c", b"new")
    assert (tmp_path / "c").stat().st_mode == plain.stat().st_mode


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("old", "absent"):
        place, link = tmp_path / "there" / name, tmp_path / f"to_{name}"
        link.symlink_to(place)
    (tmp_path / "there" / "old").write_bytes(b"old")
    for name in ("old", "absent"):
        files.write_whole(tmp_path / f"to_{name}", b"new")
        assert (tmp_path / f"to_{name}").is_symlink()
        assert (tmp_path / "there" / name).read_bytes() == b"new"
    assert sorted(each.name for each in tmp_path.rglob("*")) == sorted(
        ["there", "old", "absent", "to_old", "to_absent"]
    )


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "replace", fail)))
    with pytest.raises(type(error)):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    for letter in ("a", "é"):
        path = tmp_path / (letter * (250 // len(letter.encode())))
        files.write_whole(path, b"new")
        assert path.read_bytes() == b"new"


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    bad: list[tuple[Any, str]] = [
        (tmp_path, "is a folder; expected a file"),
        (tmp_path / "pipe", "is a device or a pipe; expected a file"),
        (3, "path is 3; expected a text or a pathlib.Path"),
        (None, "path is None; expected"),
        (b"name", "path is b'name'; expected"),
    ]
    for path, message in bad:
        with pytest.raises(ValueError, match=message):
            files.write_whole(path, b"new")
    with pytest.raises(FileNotFoundError):
        files.write_whole(tmp_path / "absent" / "a", b"new")
    assert os.listdir(tmp_path) == ["pipe"]


# --- arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_come_back_to_the_last_bit(compress: bool) -> None:
    content = files.pack(ARRAYS, compress=compress)
    found = files.unpack(content)
    with np.load(io.BytesIO(content)) as numpys:
        assert list(found) == numpys.files == list(ARRAYS)
        for name, array in ARRAYS.items():
            for each in (found[name], numpys[name]):
                assert (each.dtype, each.shape) == (array.dtype, array.shape)
                assert each.tobytes() == array.tobytes()
    assert found["numbers"].flags.writeable
    assert files.text(found, "text") == "Pendulum-v1"
    for name, problem in (("numbers", "no text"), ("absent", "missing")):
        with pytest.raises(ValueError, match=f"its entry '{name}' is {problem}"):
            files.text(found, name)


def test_every_changed_bit_is_noticed() -> None:
    content = files.pack({"x": ARRAYS["numbers"], "name": ARRAYS["text"]}, compress=True)
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="it "):
            files.unpack(bytes(damaged))
    for end in range(len(content)):
        with pytest.raises(ValueError, match="it "):
            files.unpack(content[:end])
    with pytest.raises(ValueError, match="it "):
        files.unpack(content + b"\0")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_without_a_digest_no_changed_bit_changes_an_array(save: Any) -> None:
    """Files that numpy wrote: each is refused, or has all arrays as they were."""
    buffer = io.BytesIO()
    save(buffer, x=ARRAYS["numbers"], name=ARRAYS["text"])
    content = buffer.getvalue()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            found = files.unpack(bytes(damaged))
        except ValueError:
            continue
        assert found.keys() == {"x", "name"}
        assert found["x"].tobytes() == ARRAYS["numbers"].tobytes()
        assert files.text(found, "name") == "Pendulum-v1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x89HDF\r\n\x1a\n...", "an HDF5 file .*from_minari reads Minari's"),
        (b"\x80\x04\x95", "a pickle, and nothing is ever unpickled"),
        (npy(np.arange(3)), "a single array"),
        (b"\x1f\x8b...", "compressed by gzip"),
        (b"states and actions", "something else than an npz file"),
        (b"PK and no more", "no whole npz file"),
        (zipped({"data.pkl": b"", "version": b"3"}), "its entries are data.pkl, version; expected"),
        (zipped({"a.npy": npy(np.array([{}], dtype=object))}), "holds objects"),
        (zipped({"a.npy": b"not an array"}), "no whole npz file"),
        (zipped({"a.npy": b""}), "no whole npz file"),
        (zipped({"a.npy": npy(np.arange(9))[:-1]}), "no whole npz file"),
        (zipped({"a.npy": npy(np.arange(9)) + b"\0"}), "no whole npz file"),
        (zipped({"a.npy": header("{")}), "no whole npz file"),
        (zipped({"a.npy": header(SHAPE.format(1))}), "no whole npz file"),
        (zipped({"a.npy": header(SHAPE.format((10**12,)))}), "no whole npz file"),
        (zipped({"a.npy": header("", b"\3\0")}), "no whole npz file"),
    ],
)
def test_foreign_content_is_said_to_be_what_it_is(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        files.unpack(content)


def test_a_comment_that_is_no_digest_is_refused() -> None:
    buffer = io.BytesIO(zipped({"a.npy": npy(np.arange(3))}))
    assert files.unpack(buffer.getvalue())["a"].tolist() == [0, 1, 2]
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"sha255 " + 64 * b"0"
    with pytest.raises(ValueError, match="its end says something else"):
        files.unpack(buffer.getvalue())


def test_objects_are_not_packed() -> None:
    with pytest.raises(ValueError, match="array 'x' holds objects; expected numbers"):
        files.pack({"x": np.array([object()])}, compress=True)


@pytest.mark.parametrize("lie", [False, True])
def test_a_bomb_is_refused_before_it_takes_memory(
    monkeypatch: pytest.MonkeyPatch, lie: bool
) -> None:
    monkeypatch.setattr(files, "FREE", 2**20)
    size = 2**26
    content = zipped({"a.npy": npy(np.zeros(size // 8))})
    if lie:  # about the size, in the header and in the directory
        true, said = (struct.pack("<I", n) for n in (size + 128, 1000))
        assert content.count(true) == 2
        content = content.replace(true, said)
    tracemalloc.start()
    with pytest.raises(ValueError, match="no whole" if lie else "would unpack to 67108992"):
        files.unpack(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_what_would_look_like_a_bomb_is_not_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many equal trajectories shrink a thousandfold, and have to be readable all the same."""
    monkeypatch.setattr(files, "FREE", 2**16)
    content = files.pack({"x": np.zeros(10**6), "y": np.arange(9)}, compress=True)
    assert len(content) > 8 * 10**6
    found = files.unpack(content)
    assert found["x"].shape == (10**6,)
    assert not found["x"].any()
