# `make run` and `make test` need git, make and Python 3.11 to 3.14; everything else is installed
# here. The first of names that serves is taken (3.14, which nobody tried yet, after the others);
# PYTHON=… names another one.
names := python3.13 python3.12 python3.11 python3.14 python3 python
JOBS ?= 2

# Paths may hold any character, so they come to a shell as variables or as quoted words.
quoted = '$(subst ','\'',$(1))'
override VENV := $(or $(VENV),.venv)
override VENV := $(if $(filter /%,$(firstword $(VENV))),,$(CURDIR)/)$(VENV)
OUTER_PATH := $(PATH)
PATH := $(VENV)/bin:$(PATH)
export VENV OUTER_PATH PATH

# What a user has set for other environments. Where packages come from is left as it is.
foreign := PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONPLATLIBDIR PYTHONOPTIMIZE PYTHONINSPECT \
	PYTHONWARNINGS PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON VIRTUAL_ENV CONDA_PREFIX
unexport $(foreign)
export PIP_USER := 0

.PHONY: run check test test-all study lint bench publish readme venv

run: venv  ## environment, data, the whole experiment, its result table and report
	"$$VENV"/bin/dvc pull data.dvc models.dvc study.dvc
	"$$VENV"/bin/dvc repro
	"$$VENV"/bin/trustmia results
	"$$VENV"/bin/trustmia report

check: venv  ## linters, types, and the tests that start no DVC, Ray, browser or make
	$(checks)
	@echo 'Left out: tests marked pipeline, ray, browser or slow; `make test` runs all but slow ones'
	$(pytest) -m 'not (pipeline or ray or browser or slow)'

test: venv  ## linters, types and the test suite, as CI runs them
	$(checks)
	@echo 'Left out: tests marked slow; `make test-all` runs them, too'
	$(pytest) -m 'not slow'

test-all: venv  ## and the tests that take several interpreters or a cluster: before publishing
	$(checks)
	$(pytest)

define checks
"$$VENV"/bin/ruff check .
"$$VENV"/bin/ruff format --check .
"$$VENV"/bin/mypy
endef
pytest = "$$VENV"/bin/python -m pytest --numprocesses logical --maxprocesses 4 \
	--dist loadgroup --no-loadscope-reorder

study: venv  ## every variant and seed of studies/default.yaml as DVC experiments
	"$$VENV"/bin/dvc pull data.dvc models.dvc
	"$$VENV"/bin/trustmia study --jobs $(JOBS)
	"$$VENV"/bin/dvc add study
	"$$VENV"/bin/dvc repro report

lint: venv  ## mend what the linters can mend
	"$$VENV"/bin/ruff format .
	"$$VENV"/bin/ruff check --fix .

bench: venv  ## speed as ratios, measured side by side in one run
	"$$VENV"/bin/python -m benchmarks

readme: venv  ## write the tables of README.md from metrics/
	"$$VENV"/bin/trustmia results --update README.md

publish: venv  ## once per finished piece of work: fill the embedded remote and stage it
	"$$VENV"/bin/dvc push
	git add --all dvc-remote dvc.lock data.dvc models.dvc study.dvc metrics plots

venv:  ## the environment alone
	$(if $(current),,$(install))

suitable := import bz2, ctypes, ensurepip, lzma, sqlite3, ssl, sys, venv; \
	sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
version := import sys; print(sys.version_info[:2])
own := import os, sys, trustmia; \
	sys.exit(not os.path.samefile(trustmia.__file__, "src/trustmia/__init__.py"))
in_shell = $(shell unset $(foreign); exec 2>/dev/null; \
	PATH=$(call quoted,$(OUTER_PATH)); VENV=$(call quoted,$(VENV)); $(1))

# An interpreter is run, since one that is found may not work: a shim of pyenv, a broken link.
chosen = $(or $(call in_shell,for name in $(if $(PYTHON),$(call quoted,$(PYTHON)),$(names)); do \
	"$$name" -c '$(suitable)' >/dev/null && echo "$$name" && break; done),\
	$(error no suitable Python: needed is 3.11 to 3.14 with the modules venv, ssl and sqlite3 \
	(Debian: python3-venv), tried $(or $(PYTHON),$(names)); name one with PYTHON=/path/to/python))

# An environment serves if it was made where it is now, by the Python that is named, if any.
usable = $(call in_shell,cd "$$VENV" && bin/python -c 'import pip' && \
	{ ! [ -s .ready ] || [ "$$(cat .ready)" = "$$(pwd -P)" ]; } && \
	$(if $(PYTHON),[ "$$(bin/python -c '$(version)')" = "$$($(call quoted,$(chosen)) -c '$(version)')" ] &&) echo yes)
current = $(and $(usable),$(call in_shell,[ -f "$$VENV/.ready" ] && \
	[ -z "$$(find requirements.txt pyproject.toml -newer "$$VENV/.ready")" ] && \
	"$$VENV/bin/python" -c '$(own)' && echo yes))

# Only what a stamp of ours says is ours is taken away, and of that only what venv makes.
define make_environment
@[ ! -e "$$VENV/requirements.txt" ] || { echo "VENV: $$VENV holds a project; allowed: a folder of its own" >&2; exit 2; }
@[ ! -f "$$VENV/.ready" ] || (cd "$$VENV" && rm -rf bin include lib lib64 pyvenv.cfg)
@mkdir -p "$$VENV" 2>/dev/null || (cd "$$(dirname "$$VENV")" && mkdir -p "$$(readlink "$$VENV")")
PATH="$$OUTER_PATH" $(if $(PYTHON),$(call quoted,$(chosen)),$(chosen)) -m venv "$$(cd "$$VENV" && pwd -P)"
endef
define install
$(if $(usable),,$(make_environment))
"$$VENV"/bin/python -m pip install --quiet --requirement requirements.txt
"$$VENV"/bin/python -m pip install --quiet --no-deps --editable .
@cd "$$VENV" && for file in .gitignore .dvcignore; do [ -e $$file ] || echo '*' >$$file; done && pwd -P >.ready
endef
