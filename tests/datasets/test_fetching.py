"""Published files from a real server: resumed, verified, extracted safely."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.miniatures import (
    AFHQ_PER_CLASS,
    CIFAR100_TRAIN,
    CIFAR_BATCH,
    DOGS_PER_BREED,
    FASHION_TRAIN,
    STL10_TRAIN,
    SVHN_TRAIN,
    Miniatures,
    stand_in_repository,
    tar,
    zipped,
)
from tests.datasets.servers import FileServer, serving
from tests.helpers import ROOT, paper_params
from trustmia import cli
from trustmia.commands.fetch import NAMES, fetch, needed
from trustmia.datasets import DATASETS, cifar10, cifar100, fetching, stl10, svhn
from trustmia.datasets.fetching import (
    Archive,
    FetchRequest,
    extract,
    extract_into,
    fetch_archives,
    obtain,
)
from trustmia.datasets.weights import PRETRAINED
from trustmia.errors import UserError
from trustmia.image_sets import IMAGE_SETS
from trustmia.image_sets.foreign import all_published
from trustmia.params import load_params
from trustmia.torchvision_compat import declare_missing_operators

BLOCK = fetching.DOWNLOAD_BLOCK
CONTENT = bytes(range(256)) * 5000
Archives = dict[str, bytes]


def published(content: bytes = CONTENT) -> Archive:
    return Archive("file.bin", "http://127.0.0.1:1/none", hashlib.md5(content).hexdigest())


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({"/file.bin": CONTENT}) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE", 0.01)


def request_to(server: FileServer, folder: Path) -> FetchRequest:
    return FetchRequest(folder / "downloads", mirror=server.url)


def test_download_arrives_whole_and_once(server: FileServer, tmp_path: Path) -> None:
    for _ in range(2):
        path = obtain(published(), request_to(server, tmp_path))
        assert path.read_bytes() == CONTENT
    assert server.asked == [("/file.bin", None)]
    assert [p.name for p in (tmp_path / "downloads").iterdir()] == ["file.bin"]


def test_broken_connection_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.break_after = [2 * BLOCK + 9, BLOCK]
    path = obtain(published(), request_to(server, tmp_path))
    assert path.read_bytes() == CONTENT
    ranges = [asked for _, asked in server.asked]
    assert ranges == [None, f"bytes={2 * BLOCK}-", f"bytes={3 * BLOCK}-"]


def test_connection_that_keeps_breaking_keeps_what_arrived(
    server: FileServer, tmp_path: Path
) -> None:
    server.break_after = [BLOCK + 9] * fetching.ATTEMPTS
    request = request_to(server, tmp_path)
    with pytest.raises(UserError, match=r"failed 5 times .* are kept in .*file\.bin\.part") as told:
        obtain(published(), request)
    assert "Run the same command again" in str(told.value)
    assert not (request.downloads / "file.bin").exists()
    arrived = BLOCK * fetching.ATTEMPTS
    assert (request.downloads / "file.bin.part").read_bytes() == CONTENT[:arrived]
    assert obtain(published(), request).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file.bin", f"bytes={arrived}-")


def test_server_that_cannot_resume_starts_again(server: FileServer, tmp_path: Path) -> None:
    server.resumes, server.break_after = False, [1000]
    assert obtain(published(), request_to(server, tmp_path)).read_bytes() == CONTENT


def test_part_of_another_file_is_not_built_upon(server: FileServer, tmp_path: Path) -> None:
    request = request_to(server, tmp_path)
    request.downloads.mkdir()
    (request.downloads / "file.bin.part").write_bytes(b"something else")
    assert obtain(published(), request).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=14-", None]


def test_part_that_is_already_whole_is_not_asked_for_again(
    server: FileServer, tmp_path: Path
) -> None:
    request = request_to(server, tmp_path)
    request.downloads.mkdir()
    (request.downloads / "file.bin.part").write_bytes(CONTENT)
    assert obtain(published(), request).read_bytes() == CONTENT


def test_wrong_checksum_names_both_sums_and_discards_the_download(
    server: FileServer, tmp_path: Path
) -> None:
    request, wanted = request_to(server, tmp_path), published(b"other")
    with pytest.raises(UserError) as told:
        obtain(wanted, request)
    found = hashlib.md5(CONTENT).hexdigest()
    assert f"has MD5 {found}, published is {wanted.md5}" in str(told.value)
    assert list(request.downloads.iterdir()) == []


def test_beginning_of_a_sha256_is_enough_where_no_more_is_published(
    server: FileServer, tmp_path: Path
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    archive = Archive("file.bin", "", sha256=digest[:8])
    assert obtain(archive, request_to(server, tmp_path)).read_bytes() == CONTENT
    wrong = Archive("file.bin", "", sha256="0123abcd")
    with pytest.raises(UserError, match=rf"has SHA-256 {digest}, published is 0123abcd"):
        obtain(wrong, FetchRequest(tmp_path / "elsewhere", mirror=server.url))


def test_refusing_server_is_named_with_another_way(server: FileServer, tmp_path: Path) -> None:
    server.files.clear()
    with pytest.raises(UserError, match=r"file\.bin: the server answered 404 .* --mirror or"):
        obtain(published(), request_to(server, tmp_path))
    assert len(server.asked) == 1


@pytest.mark.parametrize("mirror", ["archive.example", "ftp://archive.example"])
def test_mirror_that_is_no_address_is_named(mirror: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{mirror}/file\.bin: not an address"):
        obtain(published(), FetchRequest(tmp_path, mirror=mirror))


def test_failure_of_the_server_may_pass(server: FileServer, tmp_path: Path) -> None:
    server.failures = 2
    assert obtain(published(), request_to(server, tmp_path)).read_bytes() == CONTENT
    assert len(server.asked) == 3


def test_absent_server_is_named(tmp_path: Path) -> None:
    request = FetchRequest(tmp_path, mirror="http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"connection failed 5 times .*refused"):
        obtain(published(), request)


@pytest.mark.parametrize("inside", [False, True])
def test_given_file_is_used_and_left(inside: bool, tmp_path: Path) -> None:
    given = tmp_path / "file.bin"
    given.write_bytes(CONTENT)
    place = tmp_path if inside else given
    request = FetchRequest(tmp_path / "downloads", archives=(place,))
    assert obtain(published(), request) == given
    assert not request.downloads.exists()


def test_given_file_with_a_wrong_checksum_is_left(tmp_path: Path) -> None:
    given = tmp_path / "file.bin"
    given.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"has MD5 .* published is .* left as it is"):
        obtain(published(), FetchRequest(tmp_path / "downloads", archives=(given,)))
    assert given.read_bytes() == b"mine"


def test_what_was_not_given_is_downloaded(server: FileServer, tmp_path: Path) -> None:
    request = FetchRequest(tmp_path / "downloads", server.url, (tmp_path,))
    assert obtain(published(), request).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("nowhere", "nowhere does not exist"),
        ("mine.tar", r"mine\.tar: none of cifar-10-python\.tar\.gz, afhq\.zip"),
        (".", r"none of cifar-10-python\.tar\.gz, afhq\.zip"),
    ],
)
def test_given_archive_of_no_use_is_told_before_anything_is_fetched(
    place: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.tar").write_bytes(b"")
    request = FetchRequest(tmp_path / "downloads", archives=(tmp_path / place,))
    with pytest.raises(UserError, match=f"--archive: .*{told}"):
        fetch(["cifar10", "afhq"], request)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.tar"]


def with_link(name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(info)
    return stream.getvalue()


def zipped_link() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc")
    return stream.getvalue()


UNSAFE: dict[str, bytes] = {
    "tar upwards": tar([("good", b"1"), ("../evil", b"2")]),
    "tar absolute": tar([("/tmp/trustmia-evil", b"2")]),
    "tar upwards inside": tar([("a/../../evil", b"2")]),
    "tar the folder itself": tar([(".", b"2")]),
    "tar link": with_link("link"),
    "zip upwards": zipped([("../evil", b"2")]),
    "zip absolute": zipped([("/tmp/trustmia-evil", b"2")]),
    "zip link": zipped_link(),
}


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_archive_that_leaves_its_folder_is_refused_and_nothing_changes(
    content: bytes, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    data = tmp_path / "work" / "data"
    data.mkdir(parents=True)
    (data / "mine").write_text("old")
    sums = Archive("archive", "", hashlib.md5(content).hexdigest())
    request = FetchRequest(tmp_path / "downloads", archives=(archive,))
    with pytest.raises(UserError, match=r"would be written outside|is a link or device"):
        fetch_archives("Toys", data, request, [sums], ["good"], extract_into())
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert left == {"archive", "work", "work/data", "work/data/mine"}
    assert not Path("/tmp/trustmia-evil").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", tar([("a", b"1" * 9999)])[:-200]])
def test_damaged_archive_is_named(content: bytes, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"archive\.tar: not a readable archive"):
        extract(archive, tmp_path / "out")


def test_archive_without_what_is_wanted_changes_nothing(tmp_path: Path) -> None:
    content = zipped([("other", b"1")])
    (tmp_path / "archive").write_bytes(content)
    sums = Archive("archive", "", hashlib.md5(content).hexdigest())
    request = FetchRequest(tmp_path / "downloads", archives=(tmp_path,))
    with pytest.raises(UserError, match="Toys: its archive holds no wanted; nothing was changed"):
        fetch_archives("Toys", tmp_path / "data", request, [sums], ["wanted"], extract_into())
    assert list((tmp_path / "data").iterdir()) == []


def test_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "downloads").touch()
    request = FetchRequest(tmp_path / "downloads" / "here")
    with pytest.raises(UserError, match=r"Toys: Not a directory \(.*downloads"):
        fetch_archives("Toys", tmp_path / "data", request, [published()], ["a"], extract_into())


@pytest.fixture(scope="module")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Miniatures:
    repository = stand_in_repository(tmp_path_factory.mktemp("nvidia"))
    large = "imagenet_resnet50"
    miniatures = Miniatures([name for name in NAMES if name != large], repository)
    miniatures.serve(PRETRAINED[large].archive, b"weights")
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


EXPECTED = {
    "fashion_mnist": (FASHION_TRAIN, FASHION_TRAIN + 20),
    "cifar10": (5 * CIFAR_BATCH, 6 * CIFAR_BATCH),
    "cifar100": (CIFAR100_TRAIN, CIFAR100_TRAIN + 100),
    "stl10": (STL10_TRAIN, STL10_TRAIN + 40),
    "svhn": (SVHN_TRAIN, SVHN_TRAIN + 20),
    "stanford_dogs": (120 * DOGS_PER_BREED, 120 * DOGS_PER_BREED),
    "afhq": (3 * AFHQ_PER_CLASS, 3 * AFHQ_PER_CLASS + 9),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_fetched_data_set_is_read_in_torchvisions_layout(
    name: str,
    miniature: FileServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = DATASETS[name]
    assert not source.is_present(Path("data"))
    fetch([name], request_to(miniature, tmp_path))
    assert source.is_present(Path("data"))
    assert "`dvc add data`, `dvc push`" in capsys.readouterr().out
    assert list((tmp_path / "downloads").iterdir()) == []
    for part, count in zip(("train", "all"), EXPECTED[name], strict=True):
        pictures = source.read(Path("data"), part)  # type: ignore[arg-type]
        assert len(pictures) == count
        assert set(pictures.labels.tolist()) <= set(range(len(source.classes)))


@pytest.mark.parametrize("name", EXPECTED)
def test_data_set_that_is_absent_or_damaged_names_the_one_command(
    name: str, miniature: FileServer, tmp_path: Path
) -> None:
    source = DATASETS[name]
    told = rf"not complete in data/; run `trustmia fetch {name}`, or `dvc pull data\.dvc`"
    with pytest.raises(UserError, match=told):
        source.read(Path("data"), "all")
    fetch([name], request_to(miniature, tmp_path))
    victim = sorted(p for p in Path("data").rglob("*") if p.suffix in ("", ".bin", ".mat", ".jpg"))
    files = [p for p in victim if p.is_file() and "unlabeled" not in p.name]
    if files[0].suffix == ".jpg":
        for path in files[0].parent.iterdir():
            path.unlink()
    else:
        files[-1].write_bytes(b"cut off")
    with pytest.raises(UserError, match=told):
        source.read(Path("data"), "all")


def test_cifar_batches_are_not_unpickled_before_their_checksum_is_right(
    miniature: FileServer, tmp_path: Path
) -> None:
    fetch(["cifar10"], request_to(miniature, tmp_path))
    evil = b"cos\nsystem\n(S'touch evil'\ntR."
    Path("data/cifar-10-batches-py/data_batch_1").write_bytes(evil)
    with pytest.raises(UserError, match="not complete"):
        DATASETS["cifar10"].read(Path("data"), "train")
    assert not Path("evil").exists()


def test_pixels_of_each_format_have_their_channels_and_orientation(
    miniature: FileServer, tmp_path: Path
) -> None:
    names = ["fashion_mnist", "cifar10", "cifar100", "stl10", "svhn"]
    fetch(names, request_to(miniature, tmp_path))
    declare_missing_operators()
    for name in names:
        images = DATASETS[name].read(Path("data"), "train")
        assert images.pixels.dtype == np.uint8  # type: ignore[union-attr]
        # The miniatures have a colour for each class, with noise around it.
        first = images.pixels[images.labels == 0].mean(axis=(0, 2, 3))  # type: ignore[union-attr]
        expected = np.random.default_rng(0).integers(40, 216, size=(len(DATASETS[name].classes), 3))
        assert np.allclose(first, expected[0][: len(first)], atol=6), name


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


def test_unknown_name_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'imagenet' is unknown; allowed: fashion_mnist, cifar10,"):
        fetch(["cifar10", "imagenet"], FetchRequest(tmp_path / "downloads"))
    assert list(tmp_path.iterdir()) == []


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
    miniature: FileServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    miniature.break_after = [BLOCK + 9] * fetching.ATTEMPTS
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fetch", "cifar100", "--mirror", miniature.url])
    told = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2
    assert "are kept in downloads/cifar-100-python.tar.gz.part" in told
    assert list(Path("data").iterdir()) == []
    cli.main(["fetch", "cifar100", "--mirror", miniature.url])
    assert Path("data/cifar-100-python/train").is_file()
    assert miniature.asked[-1][1] == f"bytes={BLOCK * fetching.ATTEMPTS}-"
