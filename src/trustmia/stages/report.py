"""Stage `report`: what was found, as figures and as one page."""

from trustmia import files, paths
from trustmia.params import Params, load_params
from trustmia.report.frames import frames
from trustmia.report.page import render
from trustmia.report.pictures import write_pictures
from trustmia.report.provenance import read_provenance
from trustmia.report.summary import of_one_run, summarise, with_run
from trustmia.study import store
from trustmia.study.tables import RunTables, workspace_tables


def main() -> None:
    """Write `reports/index.html` and `plots/figures/`."""
    tables = read_tables(load_params())
    summary = summarise(tables)
    drawn = frames(summary)
    page = render(summary, drawn, read_provenance(tables.get("experiments")))
    write_pictures(paths.FIGURES, summary, drawn)
    files.write_text(paths.REPORT, page)


def read_tables(params: Params) -> RunTables:
    """Return the tables of the workspace's run, and those of a study of the same data set."""
    run = of_one_run(workspace_tables(), params.seed)
    if not any(store.FOLDER.glob("*.parquet")):
        return run
    study = store.read_study()
    same = (study["experiments"]["dataset"] == params.dataset.name).all()
    return with_run(study, run) if same else run
