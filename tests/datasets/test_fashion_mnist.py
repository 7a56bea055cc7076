"""Fashion-MNIST: fetched from one of its sources, verified, read."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datasets.servers import serving
from trustmia.datasets import fashion_mnist
from trustmia.datasets.fashion_mnist import Archive, SourceUnavailable, md5
from trustmia.datasets.fetching import FetchRequest, replace
from trustmia.errors import UserError

TIME = 1504176606
REQUEST = FetchRequest(Path("downloads"))
Source = Callable[[Path], Path]


def archive(name: str) -> bytes:
    """Return a gzip archive whose header has a name and a time, as `gzip FILE` writes it."""
    stripped = gzip.compress(f"content of {name}".encode(), mtime=0)
    header = b"\x1f\x8b\x08\x08" + struct.pack("<I", TIME) + stripped[8:10]
    return header + name.encode() + b"\0" + stripped[10:]


def strip(content: bytes, name: str) -> bytes:
    return content[:3] + b"\0" * 5 + content[8:10] + content[10 + len(name) + 1 :]


@pytest.fixture
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of small archives that count as the published ones."""
    folder = tmp_path / "archives"
    folder.mkdir()
    published = {}
    for name in fashion_mnist.ARCHIVES:
        content = archive(name)
        (folder / f"{name}.gz").write_bytes(content)
        published[name] = Archive(md5(content), TIME)
    monkeypatch.setattr(fashion_mnist, "ARCHIVES", published)
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a data folder that already holds a user's files."""
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "mine").write_text("old")
    return tmp_path / "data"


def use_sources(monkeypatch: pytest.MonkeyPatch, **sources: Source) -> None:
    monkeypatch.setattr(fashion_mnist, "SOURCES", sources)


def unavailable(place: Path) -> Path:
    raise SourceUnavailable("no network")


def assert_untouched(data: Path) -> None:
    files = [path for path in data.parent.rglob("*") if path.is_file()]
    mine = data / "FashionMNIST" / "raw" / "mine"
    assert [path for path in files if path.suffix != ".gz"] == [mine]
    assert mine.read_text() == "old"
    assert {path.name for path in data.parent.iterdir()} <= {"data", "archives"}


def test_published_archives_are_unpacked(archives: Path, tmp_path: Path) -> None:
    fashion_mnist.unpack(archives, tmp_path / "raw")
    for path in (tmp_path / "raw").iterdir():
        assert path.read_text() == f"content of {path.name}"
    assert {path.name for path in (tmp_path / "raw").iterdir()} == set(fashion_mnist.ARCHIVES)


def test_archive_with_a_wrong_checksum_is_named_with_both_sums(
    archives: Path, tmp_path: Path
) -> None:
    name = "t10k-images-idx3-ubyte"
    wrong = gzip.compress(b"something else")
    (archives / f"{name}.gz").write_bytes(wrong)
    with pytest.raises(UserError) as caught:
        fashion_mnist.unpack(archives, tmp_path / "raw")
    said = str(caught.value)
    assert f"{name}.gz has MD5 {md5(wrong)}" in said
    assert f"published is {fashion_mnist.ARCHIVES[name].md5}" in said
    assert "trustmia fetch fashion_mnist" in said


def test_stripped_header_is_put_back_before_the_checksum(archives: Path, tmp_path: Path) -> None:
    for name in fashion_mnist.ARCHIVES:
        path = archives / f"{name}.gz"
        stripped = strip(path.read_bytes(), name)
        assert md5(stripped) != fashion_mnist.ARCHIVES[name].md5
        assert fashion_mnist.published_form(name, stripped) == path.read_bytes()
        path.write_bytes(stripped)
    fashion_mnist.unpack(archives, tmp_path / "raw")
    assert len(list((tmp_path / "raw").iterdir())) == len(fashion_mnist.ARCHIVES)


def test_content_that_is_no_stripped_gzip_stays_as_it_is(archives: Path) -> None:
    for content in (b"", b"no gzip", archive("t10k-labels-idx1-ubyte")):
        assert fashion_mnist.published_form("t10k-labels-idx1-ubyte", content) == content


def test_fetch_replaces_the_old_folder_by_the_first_source_that_answers(
    archives: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sources(monkeypatch, deaf=unavailable, good=lambda place: archives, never=unavailable)
    assert fashion_mnist.fetch(old, REQUEST) == "good"
    raw = old / "FashionMNIST" / "raw"
    assert {path.name for path in raw.iterdir()} == set(fashion_mnist.ARCHIVES)
    assert "MIT License" in (old / "FashionMNIST" / "LICENSE").read_text()
    assert {path.name for path in old.parent.iterdir()} == {"data", "archives"}


def test_mirror_and_given_archives_come_before_other_sources(
    archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sources(monkeypatch, never=unavailable)
    given, *others = sorted(archives.iterdir())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / given.name).write_bytes(given.read_bytes())
    with serving({f"/{path.name}": path.read_bytes() for path in others}) as server:
        request = FetchRequest(tmp_path / "downloads", server.url, (tmp_path / "mine",))
        assert fashion_mnist.fetch(tmp_path / "data", request) == server.url
        assert {path for path, _ in server.asked} == {f"/{path.name}" for path in others}
    assert list((tmp_path / "downloads").iterdir()) == []
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    assert {path.name for path in raw.iterdir()} == set(fashion_mnist.ARCHIVES)


def test_fetch_keeps_the_old_folder_when_every_source_fails(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_sources(monkeypatch, first=unavailable, second=unavailable)
    with pytest.raises(UserError, match=r"no source answered: first \(no network\); second"):
        fashion_mnist.fetch(old, REQUEST)
    assert_untouched(old)


def test_fetch_keeps_the_old_folder_when_a_checksum_is_wrong(
    archives: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archives / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"wrong"))
    use_sources(monkeypatch, bad=lambda place: archives)
    with pytest.raises(UserError, match=r"has MD5 .*, published is .*; nothing was changed"):
        fashion_mnist.fetch(old, REQUEST)
    assert_untouched(old)


def test_old_folder_comes_back_when_the_new_one_cannot_be_moved(old: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        replace(tmp_path / "nowhere", old / "FashionMNIST", tmp_path / "aside")
    assert_untouched(old)


@pytest.mark.parametrize("content", [None, b"", b"\0\0\x08\x03 short"])
def test_load_without_data_tells_what_to_run(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        raw = tmp_path / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for name in fashion_mnist.ARCHIVES:
            (raw / name).write_bytes(content)
    with pytest.raises(UserError, match=r"`dvc pull data\.dvc` or `trustmia fetch fashion_mnist`"):
        fashion_mnist.read(tmp_path, "all")
