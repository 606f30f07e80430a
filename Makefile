# The commands of this project.  `make demo` and `make test` set everything up by themselves.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint bench fuzz clean
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
SOURCES := .:netns-lab

help:  ## say what each command does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup  ## run a registry and 8 nodes in namespaces; ARGS=--exit leaves when all is proved (root)
	@exec $(BIN)/netns-lab run demo $(ARGS)

test: lint  ## make check, then every test, real daemons included (root; else those are skipped)
	@exec $(BIN)/python -m pytest --durations=15 --durations-min=0.5 $(ARGS)

check: lint  ## format, lint, types, allowed imports, house rules
	@exec $(BIN)/python -m pytest --quiet tests/test_repository.py

bench:  ## run the benchmarks and write docs/evidence.md; ARGS=--quick, ARGS="data_plane switch" (root)
	@tools/setup bench && exec $(BIN)/python -m benchmarks $(ARGS)

fuzz: setup  ## feed every decoder of untrusted bytes for a long time
	@exec $(BIN)/python -m pytest --hypothesis-profile=fuzz --timeout=0 tests/fuzz $(ARGS)

clean:  ## remove everything the other commands made in this directory
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name .git -prune -o \( -name __pycache__ -o -name '*.so' -o -name '*.o' \) -prune -exec rm -rf {} +
	rm -f babel_ctl/_native/_reader.c re6stnet/_native/_gains.c re6stnet/_native/_prober.c netns-lab/netns_lab/_native/_switch.c netns-lab/netns_lab/_native/_paths.c

setup:
	@tools/setup

lint: setup
	@echo 'check: ruff format' && $(BIN)/ruff format --check --quiet .
	@echo 'check: ruff check' && $(BIN)/ruff check --quiet .
	@echo 'check: mypy' && $(BIN)/mypy --no-error-summary
	@echo 'check: import-linter' && PYTHONPATH=$(SOURCES) $(BIN)/lint-imports --no-cache >.venv/lint-imports.log || \
		{ cat .venv/lint-imports.log; exit 1; }
