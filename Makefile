# Two commands: `make demo` runs the main job from nothing, `make test` runs all checks.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

.PHONY: demo test clean

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[simulate,root,dev]'
	touch $@

demo: .venv/ready
	rm -rf $(DEMO)
	$(BIN)/partigan simulate jets --flavour t --n 20000 --particles 30 --seed 1 --workers 2 --out $(DEMO)/top.h5
	$(BIN)/partigan train --config mdma-fast --data $(DEMO)/top.h5 --out $(DEMO)/run --seed 1 --threads 1
	$(BIN)/partigan generate $(DEMO)/run --n 100000 --seed 1 --out $(DEMO)/generated.h5
	$(BIN)/partigan evaluate --real $(DEMO)/top.h5 --fake $(DEMO)/generated.h5 --run $(DEMO)/run --protocol mpgan --out $(DEMO)/report
	@echo "open $(CURDIR)/$(DEMO)/report/report.html"

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

clean:
	rm -rf .venv $(DEMO) .mypy_cache .pytest_cache .ruff_cache
