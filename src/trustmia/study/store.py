"""A study's tables as files: one Parquet file per table."""

from pathlib import Path

import pandas as pd

from trustmia import files
from trustmia.errors import UserError
from trustmia.study.tables import COLUMNS, EXPERIMENT_COLUMNS, RunTables

FOLDER = Path("study")
TABLES = ("experiments", *COLUMNS)


def write_study(folder: Path, tables: RunTables) -> None:
    """Write a study's tables; the folder is either as before or complete.

    Raises:
        UserError: The folder cannot be written.
    """
    try:
        with files.atomic_folder(folder) as fresh:
            for name in TABLES:
                tables[name].to_parquet(fresh / f"{name}.parquet", index=False)
    except OSError as error:
        raise UserError(f"{folder}: not writable ({error.strerror}); use --out") from error


def read_study(folder: Path = FOLDER) -> RunTables:
    """Read a study's tables.

    Returns:
        `experiments` and the tables of `run_tables`, each with the columns `experiment`,
        `variant` and `seed` in front.

    Raises:
        UserError: There is no study, or a file of it is missing or another one.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: not found; run `make study`, or `dvc pull {folder}.dvc`")
    tables = {}
    for name in TABLES:
        path = folder / f"{name}.parquet"
        try:
            tables[name] = pd.read_parquet(path)
        except FileNotFoundError as error:
            raise UserError(f"{path}: not found; run `make study` again") from error
        except (ValueError, OSError) as error:
            raise UserError(f"{path}: not readable ({error}); run `make study` again") from error
        missing = set(EXPERIMENT_COLUMNS) - set(tables[name])
        if missing:
            raise UserError(f"{path}: has no column {min(missing)}; run `make study` again")
    return tables
