# Everything from python3 and PyPI: the first run makes .venv, later ones reuse it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PARSER_DATA ?= ../shared/data/ud_ewt
# Every worker process imports large libraries; without byte code on disk each compiles them anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test test-all check bench starter parser clean
.DEFAULT_GOAL := setup

setup: $(READY)

$(READY): pyproject.toml constraints.txt overrides.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ rm -rf $(VENV); echo "python3 cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --override overrides.txt -e ".[dev]"
	@touch $(READY)

demo: $(READY)
	$(BIN)/fld scenes demo-scenes --count 64 --seed 7
	$(BIN)/fld build demo-scenes demo-out --profile starter
	$(BIN)/fld stats demo-out
	$(BIN)/fld eval demo-out --truth demo-scenes/truth.json
	$(BIN)/fld report demo-out demo.html

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-all: $(READY)
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks

# One night on 2 cores, minutes on a GPU; what is there already is not made again.
starter: $(READY)
	$(BIN)/python -m pipelines.starter --work starter-work

parser: $(READY)
	$(BIN)/python -m specialists.models.parser.recipe --data $(PARSER_DATA)

clean:
	rm -rf $(VENV) demo-scenes demo-out demo.html
