# The two commands are `make repro` and `make test`; `make help` lists the others.
PYTHON ?= python3
VENV ?= .venv
FLAVOUR ?= cpu
SERVER ?= yes
STUDY ?= .

# What targets, PATH and the first lines of scripts cannot hold is refused before anything is made.
hash := \#
UNFIT := $$ ' " ` : ; % \ & | < > ( ) { } * ? [ ] $(hash)
PLACES := $(CURDIR)+$(value VENV)+$(value STUDY)+
ifneq ($(words $(PLACES))$(strip $(foreach one,$(UNFIT),$(findstring $(one),$(PLACES)))),1)
$(error $(CURDIR), VENV=$(value VENV), STUDY=$(value STUDY): expected no space in these paths and none of $(UNFIT); rename the folder)
endif
ifneq ($(words $(VENV) $(STUDY)),2)
$(error VENV=$(VENV), STUDY=$(STUDY): expected a folder each)
endif
override VENV := $(abspath $(VENV))

export PATH := $(VENV)/bin:$(PATH)
include env.mk
# The PYTHON that is asked for, else that of the environment, as long as it suits.
OWN := $(shell $(VENV)/bin/python -E locks/environment.py 2>/dev/null && echo $(VENV)/bin/python)
MAKER := $(if $(filter file,$(origin PYTHON)),$(or $(OWN),$(PYTHON)),$(PYTHON))
PIP := $(VENV)/bin/python -m pip install --quiet --no-input --disable-pip-version-check --no-user --target=
INSTALLED := $(VENV)/.installed-$(FLAVOUR)-$(shell { cat locks/$(FLAVOUR).txt pyproject.toml; \
    $(MAKER) -E -c "import sys; print(sys.version_info[:2])"; } 2>&1 | cksum | cut -d' ' -f1)

.PHONY: help repro pull release-artifacts test soak lint bench bench-quick results setup lock ui clean
.DEFAULT_GOAL := help

help:
	@echo "make repro     set up, build the demo study with dvc and print its result table"
	@echo "make pull      set up and fetch what of the demo is released with this commit, instead of computing it"
	@echo "make test      set up, lint and run the test suite without its long tests"
	@echo "make soak      set up and run the long tests; writes results/soak.json"
	@echo "make lint      format, lint, types and layers alone"
	@echo "make bench     time the engine against plain peers, into results/; make bench-quick takes minutes"
	@echo "make results   write the tables under results/, and the README's, from the JSON beside them"
	@echo "make ui        Prefect server and UI on http://127.0.0.1:$(UI_PORT)"
	@echo "make lock      resolve pyproject.toml anew into locks/"

setup: $(INSTALLED)

# Named by what is installed, and made last: an installation that was cut off is begun again.
$(INSTALLED):
	@$(MAKER) locks/environment.py $(VENV)
	@echo "installing locks/$(FLAVOUR).txt into $(VENV)"
	@$(PIP) -r locks/$(FLAVOUR).txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-* && touch $@

repro: setup
	@if dvc status --quiet $(STUDY_FILE); then echo "nothing is stale"; \
	elif [ "$(SERVER)" = yes ]; then python -m flows.with_server dvc repro $(STUDY_FILE); \
	else dvc repro $(STUDY_FILE); fi
	@python -m robustdd table $(STUDY)
	@echo "report: $(abspath $(STUDY))/data/report.html"

pull: setup
	@python -m tasks.released pull $(STUDY)
	@python -m robustdd verify $(STUDY)

# At a release alone: brings the demo up to date and puts what fits of it beside the code. Nothing is committed.
release-artifacts: repro
	@python -m tasks.released push $(STUDY)

test: setup lint
	@python -m pytest -q -n 2 --cov=robustdd --cov-report=term:skip-covered

soak: setup
	@$(PIP) --no-build-isolation -c locks/$(FLAVOUR).txt -e ".[ray]"
	@python -m pytest -q -m soak --timeout=3600 -p tests.support.soak_record -n 2 --dist loadfile

lint: setup
	@ruff format --check --quiet .
	@ruff check --quiet .
	@lint-imports --no-logo
	@mypy

bench: setup
	@python -m benchmarks.engine

bench-quick: setup
	@python -m benchmarks.engine --quick

results: setup
	@python -m benchmarks.tables

ui: setup
	@prefect server start --host 127.0.0.1 --port $(UI_PORT)

lock:
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --upgrade pip
	@.venv-lock/bin/python -m pip install --quiet torch==2.13.0 torchvision==0.28.0 setuptools -e ".[cpu]" --group dev
	@sh locks/write.sh .venv-lock/bin/python
	@rm -r .venv-lock

clean:
	@rm -rf .robustdd data/[a-z]*/ data/report.html
