"""NVIDIA's generators: read only when trusted, drawn from as documented."""

import os
import pickle
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.datasets.miniatures import Evil, stand_in_repository, stylegan2_ada
from trustmia import files
from trustmia.errors import UserError
from trustmia.generators import stylegan2_ada as nvidia
from trustmia.generators.sampling import SampleConfig, draw_latents, sample, to_uint8
from trustmia.generators.stylegan2_ada import check, importable, load, save
from trustmia.images.base import Images

CPU = torch.device("cpu")
GENERATOR = Path("generator")
CONFIG = SampleConfig(
    num_images=25, num_classes=10, latent_dim=512, truncation=None, size=32, batch_size=25, seed=3
)
OFFICIAL_CODE = os.environ.get("STYLEGAN2_ADA_REPO")


@pytest.fixture(autouse=True)
def fresh_packages() -> Iterator[None]:
    yield
    for name in [n for n in sys.modules if n.split(".")[0] in (*nvidia.PACKAGES, "training")]:
        del sys.modules[name]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a stand-in of NVIDIA's packages; what a test writes goes to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return stand_in_repository(tmp_path / "clone")


def kept(content: bytes) -> str:
    """Keep a pickle as a trusted one in `generator`; return its SHA-256."""
    path = Path("own.pkl")
    path.write_bytes(content)
    digest = files.sha256(path)
    save(GENERATOR, path, digest, {})
    return digest


def drawn(repository: Path, content: bytes, config: SampleConfig = CONFIG) -> Images:
    digest = kept(content)
    with importable(repository):
        network = load(GENERATOR, repository, digest, truncation_psi=1.0, force_fp32=True)
        return sample(network, config, CPU, lambda count: None)


def test_latents_are_standard_normal_in_one_piece_from_the_seed() -> None:
    expected = torch.randn(25, 512, generator=torch.Generator().manual_seed(3))
    assert torch.equal(draw_latents(CONFIG), expected)


def test_images_are_those_of_the_network_for_latent_and_one_hot_class_in_any_batch(
    repository: Path,
) -> None:
    content = stylegan2_ada(repository, 10, 32)
    with importable(repository):
        network = pickle.loads(content)["G_ema"]  # noqa: S301 - made by this test
    condition = torch.eye(10)[torch.arange(25) % 10]
    expected = to_uint8(network(draw_latents(CONFIG), condition, noise_mode="const").detach())
    for batch_size in (25, 1, 7):
        images = drawn(repository, content, replace(CONFIG, batch_size=batch_size))
        # The last digit of a float32 may differ between batch sizes: one grey level at most.
        assert np.abs(images.pixels.astype(int) - expected).max() <= 1
        assert (images.pixels == expected).mean() > 0.999
        assert np.array_equal(images.labels, np.arange(25) % 10)


def test_network_without_classes_gives_images_without_labels_in_the_wanted_size(
    repository: Path,
) -> None:
    content = stylegan2_ada(repository, 0, 64)
    images = drawn(repository, content, SampleConfig(5, 0, 512, None, 24, 5, 0))
    assert images.pixels.shape == (5, 3, 24, 24)
    assert images.labels.tolist() == [-1] * 5


def test_unknown_pickle_is_refused_without_being_read(repository: Path) -> None:
    path = Path("cifar10.pkl")
    path.write_bytes(pickle.dumps({"G_ema": Evil()}))
    with pytest.raises(UserError) as told:
        save(GENERATOR, path, None, {})
    assert files.md5(path) in str(told.value)
    assert f"set generator.stylegan2_ada_sha256={files.sha256(path)}" in str(told.value)
    with pytest.raises(UserError, match=r"but generator\.stylegan2_ada_sha256 is 000"):
        check(path, "0" * 64)
    assert not Path("evil").exists() and not GENERATOR.exists()


def test_pickle_that_changed_since_it_was_kept_is_not_read(repository: Path) -> None:
    digest = kept(b"what was checked")
    (GENERATOR / "network.pkl").write_bytes(pickle.dumps({"G_ema": Evil()}))
    with importable(repository), pytest.raises(UserError, match="was not read"):
        load(GENERATOR, repository, digest, truncation_psi=1.0, force_fp32=True)
    assert not Path("evil").exists()


def test_official_checksum_needs_no_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cifar10.pkl"
    path.write_bytes(b"official")
    monkeypatch.setitem(nvidia.OFFICIAL, files.md5(path), "cifar10.pkl")
    assert check(path, None) == files.sha256(path)


def test_missing_pickle_is_told_with_what_gets_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cifar10\.pkl not found; run `trustmia fetch --all`"):
        check(tmp_path / "cifar10.pkl", None)


@pytest.mark.parametrize(
    "content", [pickle.dumps({"G": 1}), pickle.dumps([1]), b"no pickle", pickle.dumps({"G_ema": 1})]
)
def test_trusted_file_without_a_generator_is_told_in_one_line(
    content: bytes, repository: Path
) -> None:
    with pytest.raises(UserError, match="gives no G_ema with the code in"):
        drawn(repository, content)


def test_folder_that_is_no_clone_is_told_with_what_gets_it(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="holds no dnnlib and torch_utils; get them with `git clone"),
        importable(tmp_path),
    ):
        pass


# Nothing to test, and to skip, for those who have not cloned NVIDIA's code.
if OFFICIAL_CODE is not None:

    def test_untrained_network_of_the_official_code_is_drawn_from(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repository = Path(str(OFFICIAL_CODE)).absolute()
        monkeypatch.chdir(tmp_path)
        with importable(repository):
            from training.networks import Generator  # type: ignore[import-not-found]

            torch.manual_seed(0)
            network = Generator(
                z_dim=512,
                c_dim=10,
                w_dim=512,
                img_resolution=32,
                img_channels=3,
                mapping_kwargs={"num_layers": 2},
                synthesis_kwargs={"channel_base": 4096, "channel_max": 64},
            )
            content = pickle.dumps({"G_ema": network.eval()})
        images = drawn(repository, content)
        assert images.pixels.shape == (25, 3, 32, 32) and images.pixels.std() > 10
