# make book    build the book: chapters that are not fresh are run, then the pages are rendered
# make test    run all tests
# make help    the other targets and the options

# Nothing of another Python, such as an active conda, reaches .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PIP_TARGET PIP_PREFIX PIP_USER JUPYTER_PATH
# Dozens of processes import the package, so its compiled modules are kept, and its docstrings: the
# charts need those of Altair.
unexport PYTHONDONTWRITEBYTECODE PYTHONOPTIMIZE

PROFILE ?= quick
GENOME  ?=
TASKS   ?=
VALIDATION ?=
SEED    ?=
SET     ?=
PYTHON  ?=
BIN      = .venv/bin
READY    = .venv/.installed
TESTS    = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

BOOK_OPTIONS = --profile "$(PROFILE)" $(if $(GENOME),--genome "$(GENOME)") \
               $(if $(TASKS),--tasks "$(TASKS)") $(if $(SEED),--seed $(SEED)) \
               $(if $(VALIDATION),--validation "$(VALIDATION)") \
               $(foreach change,$(SET),--set '$(change)') $(OPTIONS)

.PHONY: book pdf sphinx test stress bench bench-peers evidence lint format sample lock clean help
.DEFAULT_GOAL = help

book: $(READY)
	@BIRDIEDNA_PARENT=$$PPID exec $(BIN)/python -m birdiedna book $(BOOK_OPTIONS)

pdf: book
	@$(BIN)/python -m book._ext.pdf --profile "$(PROFILE)"

sphinx: $(READY) .venv-sphinx/.installed
	@rm -rf _build/sphinx
	@BIRDIEDNA_PROFILE="$(PROFILE)" .venv-sphinx/bin/python -m sphinx -W --keep-going -q -c book/_ext/plain . _build/sphinx
	@BIRDIEDNA_SITE=_build/sphinx $(BIN)/python -m pytest tests/book/test_book_real.py -k page

# The newest Sphinx and its parts; everything else is what .venv has, found after them.
.venv-sphinx/.installed: | $(READY)
	@echo "making .venv-sphinx with the newest Sphinx"
	@$(BIN)/python -m venv --clear .venv-sphinx && echo '*' > .venv-sphinx/.gitignore
	@.venv-sphinx/bin/python -m pip install --quiet --disable-pip-version-check sphinx myst-nb sphinx-book-theme \
	  sphinx-copybutton sphinx-design sphinx-external-toc sphinx-togglebutton sphinxcontrib-bibtex
	@$(BIN)/python -c 'import site; print(site.getsitepackages()[0])' > \
	  "$$(.venv-sphinx/bin/python -c 'import site; print(site.getsitepackages()[0])')/locked.pth"
	@touch $@

test: $(READY)
	@$(TESTS) $(OPTIONS)

stress: $(READY)
	@XLA_FLAGS= BIRDIEDNA_KILLS=100 BIRDIEDNA_EXAMPLES=10 $(TESTS) -m promise --tally $(OPTIONS)

bench: $(READY)
	@$(BIN)/python -m benchmarks $(OPTIONS)

bench-peers: $(READY) .venv-peers/.installed
	@$(BIN)/python -m benchmarks --only train_step tpu $(OPTIONS)

.venv-peers/.installed: benchmarks/peers.txt | $(READY)
	@echo "making .venv-peers with PyTorch, transformers and the compiler for TPUs (some minutes)"
	@$(BIN)/python -m venv --clear .venv-peers && echo '*' > .venv-peers/.gitignore
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	@touch $@

evidence: $(READY)
	@$(BIN)/python scripts/evidence.py $(if $(TASKS),--tasks "$(TASKS)") $(OPTIONS)

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy
	@$(BIN)/python -m book._ext.strip --check book/*.ipynb
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.citation-file-format CITATION.cff
	@$(BIN)/python -m book._ext.prose book/*.ipynb book/*.md

format: $(READY)
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .
	@$(BIN)/python -m book._ext.strip book/*.ipynb

sample: $(READY)
	@$(BIN)/python scripts/make_sample.py

lock: $(READY)
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --universal --python-version 3.11 --no-header --no-annotate \
	  --extra book --extra test --extra reference --extra track --upgrade --output-file constraints/lock.txt pyproject.toml

clean:
	@rm -rf _build runs/quick
	@echo "removed _build and the quick runs; other runs, build (plans) and .venv stay"

help:
	@echo "make book    run what is not fresh, render the pages      PROFILE=quick|small|eighth|paper|<results> GENOME=file TASKS=folder SEED=0"
	@echo "             VALIDATION=chr8 names the contigs for held-out loss; PROFILE=my.json is one of your own;"
	@echo "             SET='pretrain.steps=200 finetune.head=pooled' changes settings; birdiedna settings lists them"
	@echo "             OPTIONS='--only 02_objectives --labels no=0,yes=1'; see .venv/bin/birdiedna book --help"
	@echo "make pdf     the whole book as _build/book.pdf (needs Chromium);  make sphinx  build it by plain Sphinx, the newest, and look at it"
	@echo "make test    run all tests                                OPTIONS='-m \"not slow\"' for the fast ones"
	@echo "make stress  the tests of what is promised, long: 100 kills, 10 times the examples; prints a tally"
	@echo "make bench   measure speed and memory, keep the numbers   OPTIONS='--only mixture', '--quick'"
	@echo "make bench-peers  install PyTorch beside us and compare the train step; compile for TPUs"
	@echo "make evidence  make results/small again: ten seeds of every arm, hours; resumes   OPTIONS='--minutes 60 --workers 2'"
	@echo "make lint    check style, rooms, types, workflows, sources of chapters and prose;  make format repairs style and sources"
	@echo "make sample  rebuild the embedded sample;  make lock  renew constraints/lock.txt"
	@echo "make clean   remove rendered pages and the quick runs"
	@echo "PYTHON=/path/to/python3 chooses the interpreter (3.11 to 3.14) at the first call"

$(READY): constraints/lock.txt pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/setup
	@touch $@
