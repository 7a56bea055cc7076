"""Commands in README.md and docs/ that no other test runs, and that none is forgotten."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers import ROOT, documented, run

PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
# They install, need Docker or an archive of the authors, or are the whole run.
UNTESTED = {
    "make run": "README.md",
    "pip install -r": "docs/clusters.md",
    "docker build": "docs/container.md",
    "trustmia import-checkpoints": "docs/paper.md",
}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_commands_is_run_by_a_test(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"(<!-- tested: \w+ -->\n)?```bash\n(.*?)```", text, flags=re.DOTALL)
    for tested, block in blocks:
        known = [place for start, place in UNTESTED.items() if block.startswith(start)]
        assert tested or known == [page], f"{page}: no test runs\n{block}"


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not link.startswith(("https:", "http:")):
            assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def test_the_report_is_shown_copied_and_up_to_date(
    pulled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "true")
    printed = [run(pulled, *c.split()).stdout for c in documented("docs/report.md", "report")]
    assert "reports/index.html" in printed[0]
    copied = (pulled.parent / "report.html").read_bytes()
    assert copied == (pulled / "reports/index.html").read_bytes()
    assert "Stage 'report' didn't change, skipping" in printed[2]


def test_an_own_classifier_is_audited_as_the_readme_says(restored: Path, tmp_path: Path) -> None:
    for role in ("shadow", "target"):
        shutil.copy(restored / f"outputs/scores/{role}.npz", tmp_path)
    signals = {p.stem: np.load(p) for p in (restored / "outputs/signals").glob("*.npy")}
    np.savez(tmp_path / "signals.npz", **signals)
    of_scores, of_signals = documented("README.md", "audit")
    said = run(tmp_path, *of_scores.split()).stdout
    assert "original" in said and "Salem" in said
    table = pd.read_csv(tmp_path / "audit" / "attack_results.csv")
    published = pd.read_csv(restored / "metrics" / "attack_results.csv")
    assert table["Set"].tolist() == published["Set"].tolist()
    said = run(tmp_path, *of_signals.split()).stdout
    assert "rmia_offline" in said and "patches" in said
