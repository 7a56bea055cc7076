"""Files are as before or complete, never in between."""

import json
import os
import struct
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from trustmia import files


class Interrupted(Exception):
    pass


class Writer(Protocol):
    def __call__(self, path: Path) -> AbstractContextManager[Path]: ...


FOLDER_WRITERS = [files.atomic_folder, files.all_or_nothing]


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_file_is_complete_after_success(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with files.atomic_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert contents(tmp_path) == {"new/table.csv": "new"}


def test_file_is_as_before_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(Interrupted), files.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise Interrupted
    assert contents(tmp_path) == {"table.csv": "old"}


def test_a_device_and_a_stream_stay_what_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        files.write_text(pipe, "text")
        assert reader.communicate()[0] == b"text"
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]
    files.write_text(Path(os.devnull), "text")
    assert Path(os.devnull).is_char_device()
    write = "from trustmia import files; files.write_text(files.Path('/dev/stdout'), 'text')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", write], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "text"
    assert Path("/dev/stdout").is_symlink()


def test_file_has_the_permissions_of_an_ordinary_one(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    files.write_text(tmp_path / "ours", "text")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("write", FOLDER_WRITERS)
def test_folder_is_as_before_after_a_failure(write: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    (folder / "a.csv").write_text("old")
    with pytest.raises(Interrupted), write(folder) as fresh:
        (fresh / "a.csv").write_text("half")
        (fresh / "b.csv").write_text("half")
        raise Interrupted
    assert contents(tmp_path) == {"plots/a.csv": "old"}
    assert list(tmp_path.iterdir()) == [folder]


def test_folder_is_as_before_where_its_place_cannot_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    (folder / "a.csv").write_text("old")
    moved, move = [], os.replace

    def interrupted(source: Path, place: Path) -> None:
        moved.append(source)
        if len(moved) == 2:
            raise Interrupted
        move(source, place)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(Interrupted), files.atomic_folder(folder) as fresh:
        (fresh / "a.csv").write_text("new")
    assert contents(tmp_path) == {"plots/a.csv": "old"}


@pytest.mark.parametrize("write", FOLDER_WRITERS)
def test_new_folder_does_not_appear_after_a_failure(write: Writer, tmp_path: Path) -> None:
    with pytest.raises(Interrupted), write(tmp_path / "plots") as fresh:
        (fresh / "a.csv").write_text("half")
        raise Interrupted
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (files.atomic_folder, {"plots/a.csv": "new"}),
        (files.all_or_nothing, {"plots/a.csv": "new", "plots/mine.txt": "old"}),
    ],
)
def test_folder_is_replaced_or_joined_after_success(
    write: Writer, left: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "plots"
    folder.mkdir()
    for name in ("a.csv", "mine.txt"):
        (folder / name).write_text("old")
    with write(folder) as fresh:
        (fresh / "a.csv").write_text("new")
    assert contents(tmp_path) == left
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_json_has_no_word_for(value: float, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    files.write_json(path, {"auroc": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"auroc": value})
    assert json.loads(path.read_text()) == files.read_json(path) == {"auroc": 0.5}


def test_arrays_come_back_and_give_the_same_bytes_twice(tmp_path: Path) -> None:
    arrays = {"scores": np.eye(3, dtype=np.float32), "set": np.asarray(["a", "b"])}
    for name in ("first.npz", "second.npz"):
        files.write_arrays(tmp_path / name, arrays)
    read = files.read_arrays(tmp_path / "first.npz")
    assert {name: array.tolist() for name, array in read.items()} == {
        name: array.tolist() for name, array in arrays.items()
    }
    assert files.sha256(tmp_path / "first.npz") == files.sha256(tmp_path / "second.npz")


def test_archive_has_the_plain_headers_that_every_python_writes_alike(tmp_path: Path) -> None:
    files.write_arrays(tmp_path / "a.npz", {"a": np.arange(9)})
    header = (tmp_path / "a.npz").read_bytes()[:30]
    signature, version, flags, method, time, date = struct.unpack("<IHHHHH", header[:14])
    assert (signature, version, flags, method) == (0x04034B50, 20, 0, 0)
    assert (time, date) == (0, 0b100001)


def test_arrays_of_python_objects_are_neither_read_nor_written(tmp_path: Path) -> None:
    objects = {"set": np.asarray(["a", None], dtype=object)}
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_arrays(tmp_path / "ours.npz", objects)
    assert list(tmp_path.iterdir()) == []
    np.savez(tmp_path / "theirs.npz", **objects)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="set holds Python objects"):
        files.read_arrays(tmp_path / "theirs.npz")
