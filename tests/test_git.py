"""The repository under other people's git and with their links."""

import shutil
from pathlib import Path

import pytest

from tests.helpers import ROOT, git, run


@pytest.mark.parametrize("ends", ["core.autocrlf=true", "core.eol=crlf"])
def test_clone_that_converts_line_ends_has_the_same_bytes(
    ends: str, pulled: Path, tmp_path: Path
) -> None:
    place = tmp_path / "clone"
    text = tmp_path / "attributes"
    text.write_text("* text=auto\n")
    settings = ["--config", ends, "--config", f"core.attributesFile={text}"]
    git(pulled, "clone", "--quiet", *settings, str(pulled), str(place))
    run(place, "dvc", "pull", "data.dvc", "models.dvc")
    assert "up to date" in run(place, "dvc", "status", "data.dvc", "models.dvc").stdout
    assert git(place, "status", "--porcelain") == ""
    names = git(place, "ls-files").splitlines()
    assert [n for n in names if (place / n).read_bytes() != (pulled / n).read_bytes()] == []


def test_folders_that_are_not_versioned_may_be_links(tmp_path: Path) -> None:
    place, disk = tmp_path / "clone", tmp_path / "disk"
    git(tmp_path, "init", "--quiet", str(place))
    shutil.copy(ROOT / ".gitignore", place)
    for name in (".venv", "data", "models", "outputs", "reports", "study", "downloads"):
        (disk / name).mkdir(parents=True)
        (place / name).symlink_to(disk / name)
    assert git(place, "status", "--porcelain", "--untracked-files=all").split() == [
        "??",
        ".gitignore",
    ]
