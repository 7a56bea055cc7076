"""Published files: downloaded with resume, verified, extracted, put in their place."""

import os
import shutil
import stat
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

import requests
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
from tqdm import tqdm

from trustmia import files
from trustmia.errors import UserError

ATTEMPTS = 5
FIRST_PAUSE = 0.5
BLOCK = 1 << 20
# From here on, HTTP status codes tell of the server's own failure.
SERVER_ERROR = 500
# What a broken connection may lose of what has arrived.
DOWNLOAD_BLOCK = 1 << 16
TIMEOUT = (30, 120)


@dataclass(frozen=True)
class Archive:
    """A published file: its name, address and checksum.

    Attributes:
        filename: Its published name.
        url: Its address.
        md5: MD5 in hexadecimal.
        sha256: SHA-256 in hexadecimal, or the beginning of it, where that is published
            instead.
    """

    filename: str
    url: str
    md5: str | None = None
    sha256: str | None = None

    def fault(self, path: Path) -> str | None:
        """Say in what the checksum of a file differs from the published one."""
        if self.md5 is not None:
            kind, checksum, published = "MD5", files.md5(path), self.md5
        else:
            kind, checksum, published = "SHA-256", files.sha256(path), str(self.sha256)
        if checksum.startswith(published):
            return None
        return f"has {kind} {checksum}, published is {published}"


# Turns archives, by their file names, into files in an empty folder.
Unpack: TypeAlias = Callable[[Mapping[str, Path], Path], None]
# Name and content of the files in an archive.
Members: TypeAlias = Iterator[tuple[str, IO[bytes]]]


@dataclass(frozen=True)
class FetchRequest:
    """Where archives may come from, and where downloads go.

    Attributes:
        downloads: Folder for downloads; a file that is not finished ends in `.part`.
        mirror: Address under which archives have their published names, instead of the
            publisher's.
        archives: Files already downloaded, or folders that hold some; the others are
            downloaded. They are only read.
    """

    downloads: Path
    mirror: str | None = None
    archives: tuple[Path, ...] = ()


def obtain(archive: Archive, request: FetchRequest) -> Path:
    """Return a file with the published checksum: one that the user gave, else downloaded.

    Raises:
        UserError: The given file or the download has another one, or the download fails.
    """
    given = _given_file(archive, request.archives)
    if given is not None:
        fault = archive.fault(given)
        if fault:
            raise UserError(
                f"{given}: {fault}; the file was left as it is and nothing was changed. Download "
                "it again"
            )
        return given
    path = request.downloads / archive.filename
    if not path.is_file() or archive.fault(path):
        url = f"{request.mirror.rstrip('/')}/{archive.filename}" if request.mirror else archive.url
        download(url, path, archive.fault)
    return path


def _given_file(archive: Archive, places: Sequence[Path]) -> Path | None:
    """Find an archive among the files and folders that the user gave."""
    for place in places:
        path = place / archive.filename if place.is_dir() else place
        if path.name == archive.filename and path.is_file():
            return path
    return None


def check_given(places: Sequence[Path], archives: Sequence[str]) -> None:
    """Check that what the user gave as archives is of use.

    Args:
        places: Files and folders.
        archives: Names of the files to be fetched.

    Raises:
        UserError: A place does not exist, or holds none of the archives.
    """
    for place in places:
        if not place.exists():
            raise UserError(f"--archive: {place} does not exist")
        names = {path.name for path in place.iterdir()} if place.is_dir() else {place.name}
        if not names & set(archives):
            raise UserError(f"--archive: {place}: none of {', '.join(archives)}")


def download(url: str, path: Path, fault: Callable[[Path], str | None]) -> None:
    """Download a file, going on from where an earlier attempt stopped.

    Args:
        url: Its address.
        path: Where it goes once its checksum is right; until then it is `path` with `.part`.
        fault: Says what is wrong with the checksum of a file, or None.

    Raises:
        UserError: The server refuses, the connection breaks again and again (what has
            arrived is kept), or the checksum is wrong (the download is discarded).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    resumed = part.exists() and part.stat().st_size > 0
    _download_with_retries(url, part)
    mismatch = fault(part)
    if mismatch and resumed:
        # Another file of that name may have begun it.
        part.unlink()
        _download_with_retries(url, part)
        mismatch = fault(part)
    if mismatch:
        part.unlink()
        raise UserError(
            f"{url}: {mismatch}; the download was discarded and nothing else was changed. Try "
            "again, or another source with --mirror or --archive"
        )
    os.replace(part, path)


def _download_with_retries(url: str, part: Path) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append_rest(url, part)
            return
        except (MissingSchema, InvalidSchema, InvalidURL) as error:
            raise UserError(f"{url}: not an address; allowed: http://… or https://…") from error
        except requests.HTTPError as error:
            raise UserError(
                f"{url}: the server answered {error}; try another source with --mirror or --archive"
            ) from error
        except (requests.RequestException, EOFError) as error:
            if attempt == ATTEMPTS:
                arrived = part.stat().st_size if part.exists() else 0
                raise UserError(
                    f"{url}: the connection failed {ATTEMPTS} times ({_reason(error)}); "
                    f"{arrived / 1e6:.1f} MB are kept in {part}. Run the same command again to go "
                    "on from there, or try --mirror or --archive"
                ) from error
            time.sleep(FIRST_PAUSE * 2 ** (attempt - 1))


def _reason(error: Exception) -> str:
    """Return the innermost reason of a failed request, without addresses of objects."""
    while error.__cause__ or error.__context__:
        inner = error.__cause__ or error.__context__
        if not isinstance(inner, Exception):
            break
        error = inner
    return str(getattr(error, "strerror", None) or type(error).__name__)


def _append_rest(url: str, part: Path) -> None:
    """Append to `part` what is missing; start again where the server cannot go on."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable and start:
            return
        if not answer.ok:
            # A server's own failure may pass; a refusal stays one.
            passing = answer.status_code >= SERVER_ERROR
            kind = requests.ConnectionError if passing else requests.HTTPError
            raise kind(f"{answer.status_code} {answer.reason}")
        if answer.status_code != requests.codes.partial_content:
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        name = part.name.removesuffix(".part")
        with (
            part.open("ab" if start else "wb") as stream,
            tqdm(desc=name, total=total, initial=start, unit="B", unit_scale=True) as bar,
        ):
            for block in answer.iter_content(DOWNLOAD_BLOCK):
                stream.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise EOFError("connection closed early")


def extract(archive: Path, folder: Path) -> None:
    """Extract a TAR or ZIP archive of ordinary files.

    Args:
        archive: `.zip`, or TAR in any compression that Python reads.
        folder: Where files go; it should be empty and temporary, since what was
            extracted before an error stays.

    Raises:
        UserError: The archive is damaged, or a member is a link or device, or would be
            written outside the folder.
    """
    inside = folder.resolve()
    members = _zip_members if zipfile.is_zipfile(archive) else _tar_members
    try:
        for name, content in tqdm(members(archive), desc=f"extract {archive.name}", unit="file"):
            place = (inside / name).resolve()
            if place == inside or not place.is_relative_to(inside):
                raise UserError(f"{archive}: {name!r} would be written outside the folder")
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as stream:
                shutil.copyfileobj(content, stream, BLOCK)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, FileExistsError) as error:
        raise UserError(f"{archive}: not a readable archive ({error})") from error


def _tar_members(archive: Path) -> Members:
    with tarfile.open(archive) as content:
        for member in content:
            if member.isdir():
                continue
            stream = content.extractfile(member) if member.isreg() else None
            if stream is None:
                raise UserError(f"{archive}: {member.name!r} is a link or device")
            yield member.name, stream


def _zip_members(archive: Path) -> Members:
    with zipfile.ZipFile(archive) as content:
        for info in content.infolist():
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UserError(f"{archive}: {info.filename!r} is a link or device")
            with content.open(info) as stream:
                yield info.filename, stream


def replace(new: Path, place: Path, aside: Path) -> None:
    """Put `new` at `place`; what was there goes `aside` first and back if that fails."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        os.replace(place, aside)
    try:
        os.replace(new, place)
    except OSError:
        if aside.exists():
            os.replace(aside, place)
        raise


def fetch_archives(
    title: str,
    data: Path,
    request: FetchRequest,
    archives: Sequence[Archive],
    names: Sequence[str],
    unpack: Unpack,
) -> str:
    """Get archives, unpack them beside the data folder, and put the result in its place.

    Args:
        title: The data set's name for people.
        data: The data folder.
        request: Where archives may come from.
        archives: What is needed.
        names: What unpacking has to give, relative to the data folder.
        unpack: Fills an empty folder.

    Returns:
        The source, for people.

    Raises:
        UserError: An archive cannot be had, has a wrong MD5 or is unsafe, or the disk is
            full. What the data folder held before is still there.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        obtained = {archive.filename: obtain(archive, request) for archive in archives}
        with tempfile.TemporaryDirectory(dir=data.parent, prefix=".fetch-") as scratch:
            ready = Path(scratch) / "ready"
            ready.mkdir()
            unpack(obtained, ready)
            missing = [name for name in names if not (ready / name).exists()]
            if missing:
                raise UserError(f"{title}: its archive holds no {missing[0]}; nothing was changed")
            for number, name in enumerate(names):
                replace(ready / name, data / name, Path(scratch) / f"previous-{number}")
        for path in obtained.values():
            if path.parent == request.downloads:
                path.unlink()
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or str(error)
        raise UserError(f"{title}: {reason}{place}; nothing was changed") from error
    if request.archives:
        return ", ".join(map(str, request.archives))
    return request.mirror or archives[0].url


def extract_into(subfolder: str = ".") -> Unpack:
    """Return an `Unpack` that extracts every archive into a subfolder."""

    def unpack(archives: Mapping[str, Path], folder: Path) -> None:
        for archive in archives.values():
            extract(archive, folder / subfolder)

    return unpack


def copy_as_they_are(archives: Mapping[str, Path], folder: Path) -> None:
    """Unpack published files that are no archives."""
    for name, path in archives.items():
        shutil.copyfile(path, folder / name)
