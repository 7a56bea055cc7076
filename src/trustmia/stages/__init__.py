"""One module per stage of `dvc.yaml`: read parameters and files, call functions, write files."""
