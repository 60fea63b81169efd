# A newcomer needs `make start`, `make demo` and `make test`; each builds its own .venv first.
PYTHON ?= python3
# One exact PyTorch for reproducible runs; the package itself accepts any torch >= 2.4.
TORCH  ?= torch==2.13.0
VENV   := .venv
BIN    := $(VENV)/bin
# What a user may add to the installation (pyproject.toml).
EXTRAS := cluster,geant4,notebook,onnx,root,tensorboard

.PHONY: start demo test test-slow torture benchmark zoo docs docs-links stale lint format sample wheel minimums pythons extras release clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(VENV)/.ready: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	$(BIN)/python -m pip install --quiet -e ".[geant4]" || echo "no geant4-pybind here: its tests will be skipped"
	touch $@

start: $(VENV)/.installed ## 1 000 showers of a trained model, and a page to look at some of them
	mkdir -p build
	$(BIN)/caloforge generate flagship-atlas-like --energies uniform:1GeV:16GeV -n 1000 --overwrite -o build/showers.h5
	$(BIN)/caloforge view build/showers.h5 --overwrite -o build/showers.html

demo: $(VENV)/.ready ## train, generate and judge a small model on the embedded sample (minutes)
	$(BIN)/caloforge demo -o demo

test: $(VENV)/.ready ## the default test suite (under five minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-slow: $(VENV)/.ready ## every test, the long ones too
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "slow or not slow" --timeout 3600

torture: $(VENV)/.ready ## damaged files by the thousand, and commands killed at random moments (docs/reliability.md)
	OMP_NUM_THREADS=1 $(BIN)/python tests/torture/fuzz.py & OMP_NUM_THREADS=1 $(BIN)/python tests/torture/kills.py; \
	  killed=$$?; wait $$! && exit $$killed

$(VENV)/reference/nflows:
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/reference nflows || echo "nflows cannot be installed here"

benchmark: $(VENV)/.ready ## the speed of CaloMan (docs/results.md, into build/) and of evaluations (docs/evaluation.md)
	$(MAKE) $(VENV)/reference/nflows
	$(BIN)/python benchmarks/speed.py --nflows $(VENV)/reference -o build/benchmark.json
	$(BIN)/python benchmarks/judging.py

# TRAIN and TEST are files of photons of atlas-like; without them they are simulated first.
ZOO   := build/zoo
TRAIN ?= $(ZOO)/train.h5
TEST  ?= $(ZOO)/test.h5
zoo: $(VENV)/.ready $(TRAIN) $(TEST) ## all families of generators on one sample (docs/results.md): a day; repeat it to go on
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/zoo.py $(TRAIN) $(TEST) --seeds 3 -o $(ZOO)

$(ZOO)/train.h5: SEED = 1
$(ZOO)/test.h5: SEED = 2
$(ZOO)/train.h5 $(ZOO)/test.h5: | $(VENV)/.ready
	mkdir -p $(ZOO)
	$(BIN)/caloforge simulate geant4 --detector atlas-like --particle gamma --energies list:256,512,1024,2048,4096,8192,16384 -n 30002 --seed $(SEED) -o $@

$(VENV)/.docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	touch $@

docs: $(VENV)/.docs ## the documentation site, into docs/_build/html: tutorials executed, warnings are errors, no network
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --jobs 2 docs docs/_build/html

stale: $(VENV)/.ready ## tables and figures of docs/ whose sources have changed since they were made
	$(BIN)/python docs/provenance.py

docs-links: docs ## check the links inside the built site, and that it loads nothing from elsewhere
	$(BIN)/python docs/check_links.py docs/_build/html

lint: $(VENV)/.ready ## ruff and mypy, as CI runs them
	$(BIN)/ruff check src tests benchmarks docs examples packaging
	$(BIN)/ruff format --check src tests benchmarks docs examples packaging
	$(BIN)/mypy
	$(BIN)/python tests/documented_examples.py

format: $(VENV)/.ready ## let ruff rewrite the sources
	$(BIN)/ruff check --fix src tests benchmarks docs examples packaging
	$(BIN)/ruff format src tests benchmarks docs examples packaging

sample: $(VENV)/.ready ## make the embedded sample anew with Geant4 (GEANT4_DATA_DIR=folder of its tables; half an hour)
	for part in "train -n 8000 --seed 101" "test -n 4000 --seed 202"; do set -- $$part; \
	  $(BIN)/caloforge simulate geant4 --detector atlas-like --particle gamma --workers 2 \
	    --energies list:256,512,1024,2048,4096,8192,16384 \
	    $$2 $$3 $$4 $$5 -o build/sample/photons-$$1.h5 || exit; done
	$(BIN)/python -m caloforge.sources.sample.pack build/sample

$(VENV)/.release: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -e ".[release]"
	touch $@

wheel: $(VENV)/.release ## sdist and wheel, into dist/
	$(BIN)/python -m build --outdir dist

minimums: ## the default suite with the lowest versions that pyproject.toml allows, on TORCH (MINIMUM_TESTS=a part of it)
	$(PYTHON) -m venv --clear build/minimums
	build/minimums/bin/python -m pip install --quiet uv "$(TORCH)"
	{ $(PYTHON) packaging/bounds.py torch; echo "$(TORCH)"; } > build/minimums/constraints.txt
	build/minimums/bin/uv pip install --quiet --python build/minimums/bin/python --constraint build/minimums/constraints.txt ".[$(EXTRAS),test]"
	build/minimums/bin/python -m pytest -n 2 -W default $(MINIMUM_TESTS)

pythons: wheel ## the wheel in a clean environment under each Python from 3.11 to 3.14 that is found (TORCH)
	TORCH="$(TORCH)" bash packaging/pythons.sh "$$(ls -t dist/*.whl | head -n 1)"

extras: wheel ## each extra of the wheel alone, in a clean environment
	TORCH="$(TORCH)" PYTHON=$(PYTHON) bash packaging/extras.sh "$$(ls -t dist/*.whl | head -n 1)"

release: $(VENV)/.release ## check versions, changelog and tag; build and try sdist and wheel; publish nothing
	$(BIN)/python packaging/release.py --torch "$(TORCH)"

clean: ## remove the virtual environment and what the demo wrote
	rm -rf $(VENV) demo docs/_build .pytest_cache .mypy_cache .ruff_cache
