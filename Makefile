# `make run` and `make test` need Python 3.11, git and make; everything else is installed here.
PYTHON ?= python3.11
VENV ?= .venv
JOBS ?= 2
READY := $(VENV)/.ready
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: run test study lint bench publish readme configurations venv

run: $(READY)  ## environment, data, the whole experiment, its result table and report
	dvc pull data.dvc models.dvc study.dvc
	dvc repro
	trustmia results
	trustmia report

test: $(READY)  ## linters, types and the whole test suite
	ruff check .
	ruff format --check .
	mypy
	python -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

study: $(READY)  ## every variant and seed of studies/default.yaml as DVC experiments
	dvc pull data.dvc models.dvc
	trustmia study --jobs $(JOBS)
	dvc add study
	dvc repro report

lint: $(READY)  ## mend what the linters can mend
	ruff format .
	ruff check --fix .

bench: $(READY)  ## speed as ratios, measured side by side in one run
	python -m benchmarks

readme: $(READY)  ## write the tables of README.md from metrics/
	trustmia results --update README.md

configurations: $(READY)  ## write the paper's experiments to configurations/ from params.yaml
	python -m trustmia.paper.configurations

publish: $(READY)  ## once per finished piece of work: fill the embedded remote and stage it
	dvc push
	git add --all dvc-remote dvc.lock data.dvc models.dvc study.dvc metrics plots

venv: $(READY)

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	$(VENV)/bin/python -m pip install --quiet --no-deps --editable .
	touch $(READY)
