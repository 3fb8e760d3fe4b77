# Two commands for a fresh clone: `make demo` and `make test`. Developers go through tox: CONTRIBUTING.md.

# The newest Python that runs and is 3.11 or newer (a shim may be found and yet be dead); PYTHON=... overrides.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
    $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

TOX := .venv/bin/tox
STAMP := .venv/installed.stamp
PROJECTS := pyproject.toml $(wildcard plugins/*/pyproject.toml) contrib/mpreg/pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help install demo test lint type docs bench clean

help: ## Show this list
	@sed -n 's/^\([a-z ]*\):.*## /\1\t/p' Makefile | expand -t 22

install: $(STAMP) ## Create .venv with the core, every plugin and the tools

$(STAMP): $(PROJECTS) contrib/constraints.txt contrib/bootstrap.py
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer found; name one with PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) contrib/bootstrap.py
	@touch $@

demo: install ## Run a federation on loopback; ARGS go to `mpreg demo`
	.venv/bin/mpreg demo $(ARGS)

test: install ## Run tox's default environments; ARGS go to tox
	$(TOX) $(ARGS)

lint type docs bench: install ## Run the tox environment of that name; ARGS go to its command
	$(TOX) -e $@ $(if $(ARGS),-- $(ARGS))

clean: ## Remove what was built or installed
	rm -rf .venv .tox docs/_build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
