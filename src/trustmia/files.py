"""Files that are either as before or complete: written beside, then renamed."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from trustmia.arrays import UInt8
from trustmia.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it there if the body succeeds.

    A device or a pipe (`/dev/stdout`) is itself what is written to, and stays what it is.
    """
    if _cannot_be_replaced(path):
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_be_replaced(path: Path) -> bool:
    is_stream = path.is_symlink() and path.parent == Path("/dev")
    return is_stream or (path.exists() and not path.is_file() and not path.is_dir())


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; put it in the place of `path` on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        fresh = Path(scratch) / "new"
        fresh.mkdir()
        yield fresh
        old = Path(scratch) / "old"
        try:
            if path.exists():
                os.replace(path, old)
            os.replace(fresh, path)
        except BaseException:
            if old.exists() and not path.exists():
                os.replace(old, path)
            raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that people can read; raises ValueError for NaN and infinities."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises ValueError for other text."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an uncompressed NPZ; the same arrays give the same bytes.

    `numpy.savez` asks for ZIP64 headers, which Python 3.11.4 began to write differently;
    here members have them only where their size needs them.

    Raises:
        ValueError: An array holds Python objects.
    """
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.file_size = array.nbytes
            with archive.open(member, "w") as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read an NPZ; raises ValueError for other files and for arrays of Python objects."""
    with path.open("rb") as stream:
        # NumPy takes any other file for a pickle, and its message recommends to load that.
        if not zipfile.is_zipfile(stream):
            raise ValueError("not an archive of named arrays, as numpy.savez writes it")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as archive:
            return {name: _array_of(archive, name) for name in archive.files}


def read_output(path: Path, stage: str, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of these names, or else all, of an NPZ that a stage has written.

    Raises:
        UserError: The file is missing or damaged, or lacks an array.
    """
    with written_by(stage, path):
        arrays = read_arrays(path)
        return {name: arrays[name] for name in names or arrays}


def _array_of(archive: Any, name: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = archive[name]
    except ValueError as error:
        if "pickle" in str(error):
            raise ValueError(
                f"{name} holds Python objects; save it as numbers or text, e.g. `.astype(str)`"
            ) from error
        raise
    return array


@contextlib.contextmanager
def written_by(stage: str, path: Path, out: Path | None = None) -> Iterator[None]:
    """Say what to run where a file that a stage wrote is missing or not readable.

    Args:
        stage: The stage, as `dvc repro` is told it.
        path: What is read.
        out: What of the stage's outputs it lies in; None: the path itself.

    Raises:
        UserError: The body did not find a file, or could not read it.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: not found; run `dvc repro {stage}`") from error
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile) as error:
        place = path if out is None else out
        raise UserError(f"{path}: not readable ({error}); run `dvc checkout {place}`") from error


def write_table(path: Path, table: "pd.DataFrame", float_format: str | None = None) -> None:
    """Write CSV without an index column."""
    with atomic_file(path) as temporary:
        table.to_csv(temporary, index=False, float_format=float_format, lineterminator="\n")


def write_image(path: Path, pixels: UInt8) -> None:
    """Write a PNG of grey [H, W] or colour [H, W, 3] pixels."""
    with atomic_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def copy_file(source: Path, path: Path) -> None:
    """Copy a file's content."""
    with atomic_file(path) as temporary:
        shutil.copyfile(source, temporary)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def md5(path: Path) -> str:
    """Return the MD5 of a file in hexadecimal: what publishers of data sets still give."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextlib.contextmanager
def all_or_nothing(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; move its files into `folder` once the body succeeds.

    Files of `folder` that the body does not write stay as they are.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        yield Path(scratch)
        folder.mkdir(exist_ok=True)
        for fresh in sorted(Path(scratch).iterdir()):
            os.replace(fresh, folder / fresh.name)
