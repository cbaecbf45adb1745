# On a fresh machine each does all that it needs: `make demo`, `make serve` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-

.PHONY: demo serve test test-fast lint javascript format clean

demo: $(READY)headless
	$(BIN)/controlstack demo

# ComfyUI's front end over the demo models, at http://127.0.0.1:8188 until Ctrl-C.
serve: $(READY)serve
	$(BIN)/controlstack serve --demo

test: $(READY)dev lint javascript
	$(BIN)/python -m pytest -n 2 --dist loadfile

# What to run while working: without the files that tests/conftest.py calls slow.
test-fast: $(READY)dev lint javascript
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not comfyui"

lint: $(READY)dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports
	@mkdir -p .build && ln -sfn .. .build/controlstack
	cd .build && MYPYPATH=. ../$(BIN)/mypy --config-file ../pyproject.toml

# TypeScript and the front end's types, for a test that is skipped where npm does not reach them.
JAVASCRIPT := tests/front_end
javascript: $(JAVASCRIPT)/node_modules/.ready
$(JAVASCRIPT)/node_modules/.ready: $(JAVASCRIPT)/package.json | $(READY)dev
	-$(BIN)/python $(JAVASCRIPT)/npm.py install && touch $@

format: $(READY)dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One stamp for each set of extras; a changed pyproject installs again.
$(READY)%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) .build build *.egg-info $(JAVASCRIPT)/node_modules
