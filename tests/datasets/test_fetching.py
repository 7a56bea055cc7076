"""Published files from a real server: resumed, verified, extracted safely."""

import hashlib
import pickle
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets.miniatures import COUNTS, Evil, Miniatures, stand_in_repository, tar, zipped
from tests.datasets.servers import FileServer, serving
from tests.helpers import ROOT, paper_params
from trustmia import cli
from trustmia.commands.fetch import NAMES, fetch, needed
from trustmia.datasets import DATASETS, cifar10, cifar100, fetching, stl10, svhn
from trustmia.datasets.base import ImageFiles
from trustmia.datasets.fetching import Archive, FetchRequest, Published, obtain
from trustmia.datasets.weights import PRETRAINED
from trustmia.errors import UserError
from trustmia.image_sets import IMAGE_SETS
from trustmia.image_sets.foreign import all_published
from trustmia.params import load_params
from trustmia.torchvision_compat import declare_missing_operators

BLOCK = fetching.DOWNLOAD_BLOCK
CONTENT = bytes(range(256)) * 5000


def published(content: bytes = CONTENT, name: str = "file.bin") -> Archive:
    return Archive(name, "http://127.0.0.1:1/none", hashlib.md5(content).hexdigest())


def toys(folder: Path, archive: Archive, name: str) -> Published:
    return Published(title="Toys", archives=(archive,), folder=folder, files=(name,))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({"/file.bin": CONTENT}) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE", 0.01)


def request_to(server: FileServer, folder: Path) -> FetchRequest:
    return FetchRequest(folder / "downloads", mirror=server.url)


@pytest.mark.parametrize(
    ("trouble", "part", "starts"),
    [
        ({}, None, [0]),
        ({"break_after": [2 * BLOCK + 9, BLOCK]}, None, [0, 2 * BLOCK, 3 * BLOCK]),
        ({"break_after": [BLOCK + 9], "resumes": False}, None, [0, BLOCK]),
        ({"failures": 2}, None, [0, 0, 0]),
        ({}, b"something else", [14, 0]),
        ({}, CONTENT, [len(CONTENT)]),
    ],
    ids=["whole", "breaks", "cannot resume", "fails", "another part", "whole part"],
)
def test_download_arrives_whole_and_once(
    trouble: dict[str, Any],
    part: bytes | None,
    starts: list[int],
    server: FileServer,
    tmp_path: Path,
) -> None:
    request = request_to(server, tmp_path)
    for name, value in trouble.items():
        setattr(server, name, value)
    if part is not None:
        request.downloads.mkdir()
        (request.downloads / "file.bin.part").write_bytes(part)
    for _ in range(2):
        assert obtain(published(), request).read_bytes() == CONTENT
    ranges = [f"bytes={start}-" if start else None for start in starts]
    assert server.asked == [("/file.bin", wanted) for wanted in ranges]
    assert [p.name for p in request.downloads.iterdir()] == ["file.bin"]


@pytest.mark.parametrize(("kind", "title"), [("md5", "MD5"), ("sha256", "SHA-256")])
def test_download_has_to_have_the_published_checksum_or_its_published_beginning(
    kind: str, title: str, server: FileServer, tmp_path: Path
) -> None:
    request, digest = request_to(server, tmp_path), hashlib.new(kind, CONTENT).hexdigest()
    with pytest.raises(UserError, match=f"has {title} {digest}, published is 0123abcd"):
        obtain(Archive("file.bin", "", **{kind: "0123abcd"}), request)
    assert list(request.downloads.iterdir()) == []
    assert obtain(Archive("file.bin", "", **{kind: digest[:8]}), request).read_bytes() == CONTENT


def test_refusing_server_is_named_with_another_way(server: FileServer, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(UserError, match=r"file\.bin: the server answered 404 .* --mirror or"):
        obtain(published(), request_to(server, tmp_path))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("mirror", "told"),
    [
        ("archive.example", r"archive\.example/file\.bin: not an address"),
        ("ftp://archive.example", r"ftp://archive\.example/file\.bin: not an address"),
        ("http://127.0.0.1:1", "connection failed 5 times .*refused"),
    ],
)
def test_mirror_that_is_no_server_is_named(mirror: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        obtain(published(), FetchRequest(tmp_path, mirror=mirror))


@pytest.mark.parametrize("inside", [False, True])
def test_given_file_is_checked_used_and_left(inside: bool, tmp_path: Path) -> None:
    given = tmp_path / "file.bin"
    request = FetchRequest(tmp_path / "downloads", archives=(tmp_path if inside else given,))
    given.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"has MD5 .* published is .* left as it is"):
        obtain(published(), request)
    assert given.read_bytes() == b"mine"
    given.write_bytes(CONTENT)
    assert obtain(published(), request) == given
    assert not request.downloads.exists()


def test_what_was_not_given_is_downloaded(server: FileServer, tmp_path: Path) -> None:
    request = FetchRequest(tmp_path / "downloads", server.url, (tmp_path,))
    assert obtain(published(), request).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "place", "told"),
    [
        ("imagenet", ".", "'imagenet' is unknown; allowed: fashion_mnist, cifar10,"),
        ("afhq", "nowhere", "--archive: .*nowhere does not exist"),
        ("afhq", "mine.tar", r"--archive: .*mine\.tar: none of cifar-10-python\.tar\.gz, afhq\."),
        ("afhq", ".", r"--archive: .*none of cifar-10-python\.tar\.gz, afhq\.zip"),
    ],
)
def test_unknown_name_and_archive_of_no_use_are_told_before_anything_is_fetched(
    name: str, place: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.tar").write_bytes(b"")
    request = FetchRequest(tmp_path / "downloads", archives=(tmp_path / place,))
    with pytest.raises(UserError, match=told):
        fetch(["cifar10", name], request)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar"]


OUTSIDE, LINK = "would be written outside", "is a link or device"
DAMAGED, LACKS = "archive: not a readable archive", "Toys: its archive holds no good; nothing was"
REFUSED: dict[str, tuple[bytes, str]] = {
    "tar upwards": (tar([("good", b"1"), ("../evil", b"2")]), OUTSIDE),
    "tar absolute": (tar([("/tmp/trustmia-evil", b"2")]), OUTSIDE),
    "tar upwards inside": (tar([("a/../../evil", b"2")]), OUTSIDE),
    "tar the folder itself": (tar([(".", b"2")]), OUTSIDE),
    "tar link": (tar([("link", b"")], kind=tarfile.SYMTYPE), LINK),
    "zip upwards": (zipped([("../evil", b"2")]), OUTSIDE),
    "zip absolute": (zipped([("/tmp/trustmia-evil", b"2")]), OUTSIDE),
    "zip link": (zipped([("link", b"/etc")], stat.S_IFLNK), LINK),
    "empty": (b"", DAMAGED),
    "no archive": (b"no archive", DAMAGED),
    "cut off": (tar([("good", np.random.default_rng(0).bytes(9999))])[:-200], DAMAGED),
    "other content": (zipped([("other", b"1")]), LACKS),
}


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_archive_that_is_unsafe_damaged_or_of_no_use_is_refused_and_nothing_changes(
    content: bytes, told: str, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    data = tmp_path / "work" / "data"
    data.mkdir(parents=True)
    (data / "mine").write_text("old")
    request = FetchRequest(tmp_path / "downloads", archives=(archive,))
    with pytest.raises(UserError, match=told):
        toys(data, published(content, "archive"), "good").fetch(request)
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert left == {"archive", "work", "work/data", "work/data/mine"}
    assert not Path("/tmp/trustmia-evil").exists()


def test_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "downloads").touch()
    request = FetchRequest(tmp_path / "downloads" / "here")
    with pytest.raises(UserError, match=r"Toys: Not a directory \(.*downloads"):
        toys(tmp_path / "data", published(), "a").fetch(request)


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Miniatures:
    repository = stand_in_repository(tmp_path_factory.mktemp("nvidia"))
    large = "imagenet_resnet50"
    miniatures = Miniatures([name for name in NAMES if name != large], repository)
    miniatures.serve(PRETRAINED[large].archives[0], b"weights")
    return miniatures


@pytest.fixture
def miniature(
    small_world: Miniatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FileServer]:
    """Serve miniatures that count as what is published, to be fetched into an empty folder."""
    monkeypatch.chdir(tmp_path)
    sums, fault = small_world.sums, Archive.fault

    def of_miniature(archive: Archive) -> Archive:
        own = (sums.get(str(published), published) for published in (archive.md5, archive.sha256))
        return Archive(archive.filename, archive.url, *own)

    monkeypatch.setattr(Archive, "fault", lambda self, path: fault(of_miniature(self), path))
    for module in (cifar10, cifar100, stl10):
        for table in ("TRAIN", "TEST", "META"):
            for name, published_sum in getattr(module, table, {}).items():
                monkeypatch.setitem(getattr(module, table), name, sums[published_sum])
    for part, archive in list(svhn.ARCHIVES.items()):
        monkeypatch.setitem(svhn.ARCHIVES, part, of_miniature(archive))
    with serving(small_world.served) as running:
        yield running


# Files of data sets that are not read.
UNREAD = ("LICENSE", "class_names.txt", "unlabeled_X.bin")


@pytest.mark.parametrize("name", COUNTS)
def test_data_set_is_read_in_torchvisions_layout_when_it_is_there_and_whole(
    name: str, miniature: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, data = DATASETS[name], Path("data")
    told = rf"not complete in data/; run `trustmia fetch {name}`, or `dvc pull data\.dvc`"
    with pytest.raises(UserError, match=told):
        source.read(data, "all")
    fetch([name], request_to(miniature, tmp_path))
    assert source.is_present(data)
    assert "`dvc add data`, `dvc push`" in capsys.readouterr().out
    assert list((tmp_path / "downloads").iterdir()) == []
    train, test = COUNTS[name]
    for part, count in (("train", train), ("all", train + test)):
        images = source.read(data, part)  # type: ignore[arg-type]
        assert len(images) == count
        assert set(images.labels.tolist()) <= set(range(len(source.classes)))
        assert isinstance(images, ImageFiles) == (name in ("stanford_dogs", "afhq"))
        if not isinstance(images, ImageFiles):
            assert images.pixels.dtype == np.uint8
            # The miniatures have a colour for each class, with noise around it, darker above.
            first = images.pixels[images.labels == 0].mean(axis=(0, 2, 3))
            colour = np.random.default_rng(0).integers(40, 216, size=3)
            assert np.allclose(first, colour[: len(first)], atol=6)
            rows = images.pixels.mean(axis=(0, 1, 3))
            assert rows[-1] - rows[0] == pytest.approx(40, abs=8)
    if isinstance(images, ImageFiles):
        for path in images.paths[0].parent.iterdir():
            path.unlink()
        with pytest.raises(UserError, match=told):
            source.read(data, "all")
        return
    for path in [p for p in data.rglob("*") if p.is_file() and p.name not in UNREAD]:
        whole = path.read_bytes()
        path.write_bytes(pickle.dumps(Evil()))
        with pytest.raises(UserError, match=told):
            source.read(data, "all")
        path.write_bytes(whole)
    assert not Path("evil").exists()


@pytest.mark.parametrize("name", ["stl10", "afhq_dogs", "afhq_non_dogs"])
def test_foreign_sets_show_some_classes_alone(
    name: str, miniature: FileServer, tmp_path: Path
) -> None:
    image_set = IMAGE_SETS[name]
    assert image_set.dataset
    fetch([image_set.dataset], request_to(miniature, tmp_path))
    shown = set(all_published(image_set, Path("data")).labels.tolist())
    classes = {DATASETS[image_set.dataset].classes[label] for label in shown}
    assert classes == set(image_set.classes or ())
    assert "monkey" not in classes


@pytest.mark.parametrize(
    ("name", "folder"), [("fashion_mnist", "FashionMNIST"), ("stl10", "stl10_binary")]
)
def test_fetching_again_replaces_the_data_set_as_a_whole(
    name: str, folder: str, miniature: FileServer, tmp_path: Path
) -> None:
    old = Path("data") / folder / "of_an_older_version"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    fetch([name], request_to(miniature, tmp_path))
    assert not old.exists() and DATASETS[name].is_present(Path("data"))
    if name == "fashion_mnist":
        assert "MIT License" in (old.parent / "LICENSE").read_text()


def test_old_folder_comes_back_when_the_new_one_cannot_be_moved(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(OSError, match="nowhere"):
        fetching.replace(tmp_path / "nowhere", tmp_path / "data", tmp_path / "aside")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_weights_are_put_where_experiments_look(miniature: FileServer, tmp_path: Path) -> None:
    fetch(["imagenet_resnet50", "stylegan2_ada_cifar10"], request_to(miniature, tmp_path))
    assert Path("models/initial/resnet50-0676ba61.pth").is_file()
    assert Path("models/stylegan2_ada/cifar10.pkl").is_file()


@pytest.mark.parametrize("arguments", [[], ["--all", "cifar10"]])
def test_fetch_wants_names_or_all(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fetch", *arguments])
    told = capsys.readouterr().err
    assert stopped.value.code == 2 and told.count("\n") == 1
    assert "give --all, or names: fashion_mnist, cifar10" in told


def test_all_of_a_configuration_is_what_its_stages_read() -> None:
    dogs = needed(paper_params("stanford_dogs_resnet50"))
    assert dogs == ["stanford_dogs", "afhq", "imagenet_resnet50", "stylegan2_ada_afhqdog"]
    cifar = needed(paper_params("cifar10_resnet18_l2"))
    foreign = ["stl10", "cifar100", "svhn", "stanford_dogs", "afhq"]
    assert cifar == ["cifar10", *foreign, "stylegan2_ada_cifar10"]
    assert needed(load_params(ROOT / "params.yaml")) == ["fashion_mnist"]


def test_interrupted_extraction_leaves_no_half_data_set(
    miniature: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(archive: Path, folder: Path) -> None:
        (folder / "stl10_binary").mkdir(parents=True)
        (folder / "stl10_binary" / "train_X.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(["stl10"], request_to(miniature, tmp_path))
    assert not DATASETS["stl10"].is_present(Path("data"))
    assert {p.name for p in tmp_path.iterdir()} == {"data", "downloads"}


def test_checksums_of_inner_files_are_those_that_torchvision_knows() -> None:
    declare_missing_operators()
    from torchvision import datasets

    for module, name in ((cifar10, "CIFAR10"), (cifar100, "CIFAR100"), (stl10, "STL10")):
        known = getattr(datasets, name)
        lists = dict(known.train_list) | dict(known.test_list)
        own = {**module.TRAIN, **module.TEST}
        assert own.items() <= lists.items()
        assert module.SOURCE.archives[0].md5 == known.tgz_md5
        assert module.SOURCE.archives[0].url == known.url
    known = datasets.FashionMNIST
    for archive in DATASETS["fashion_mnist"].archives:
        assert (archive.filename, archive.md5) in known.resources
        assert archive.url in {f"{mirror}{archive.filename}" for mirror in known.mirrors}
    for part, archive in svhn.ARCHIVES.items():
        assert [archive.url, archive.filename, archive.md5] == datasets.SVHN.split_list[part]
    assert list(cifar10.META.values()) == [datasets.CIFAR10.meta["md5"]]
    assert list(cifar100.META.values()) == [datasets.CIFAR100.meta["md5"]]


def test_broken_download_goes_on_in_the_next_command(
    miniature: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    miniature.break_after = [BLOCK + 9] * fetching.ATTEMPTS
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fetch", "cifar100", "--mirror", miniature.url])
    told = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2 and "failed 5 times" in told
    part = Path("downloads/cifar-100-python.tar.gz.part")
    assert f"are kept in {part}. Run the same command again" in told
    whole, arrived = miniature.files[f"/{part.stem}"], BLOCK * fetching.ATTEMPTS
    assert part.read_bytes() == whole[:arrived]
    assert list(Path("downloads").iterdir()) == [part] and list(Path("data").iterdir()) == []
    cli.main(["fetch", "cifar100", "--mirror", miniature.url])
    assert Path("data/cifar-100-python/train").is_file()
    assert miniature.asked[-1][1] == f"bytes={arrived}-"
