# make demo   the main job on real data: 2 minutes the first time, most of them installation
# make test   the tests: about 11 minutes
# make test-quick   those that need no browser and little time: one minute after installation, without root
# make check  style, types, layout, generated pages, links: about 1 minute
# make bench  speed and accuracy beside Keras, scikit-learn and plain PyTorch: one to two hours
# make docs   rewrite the generated pages
# make site   the documentation as a site that needs no network, in site/

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

WEB := axe-core@4.14.1 onnxruntime-node@1.30.0 wabt@1.0.39
# install a Debian package; where its lists are older than the machine, fetch them first
debian = apt-get install -y -q $(1) >/dev/null 2>&1 \
  || { apt-get update -q && apt-get install -y -q $(1); } >/dev/null

.PHONY: demo test test-quick check bench docs site notebooks outputs clean

demo: $(VENV)/.installed
	@$(BIN)/lookbook demo

# test files side by side, a core for each: threads of several programs would wait for each other
test: $(VENV)/.test $(VENV)/.fonts $(VENV)/.browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Python packages alone: nothing of the system, no browser, no Node.js
test-quick: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "not browser and not gpu and not slow"

check: $(VENV)/.check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/pytest tests/test_docs.py -k "links or site or index"

bench: $(VENV)/.installed
	$(BIN)/python -m bench speed $(BENCH)

docs: $(VENV)/.check
	$(BIN)/python docs/generate.py

# strictly: a link that leads nowhere ends it, and so does a page that would fetch anything
site: $(VENV)/.site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html: open it in a browser; for its search, too: $(BIN)/python -m http.server -d site"

# with one thread, as the tests: the same weights, bit by bit, on a machine of the same kind
notebooks: $(VENV)/.test $(VENV)/.fonts
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/build.py

outputs: $(VENV)/.test $(VENV)/.fonts $(VENV)/.browser
	OMP_NUM_THREADS=1 $(BIN)/python docs/outputs.py

clean:
	rm -rf $(VENV) .bench site

# Debian keeps the module that makes environments in a package of its own
$(BIN)/pip:
	@echo "making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
	  || { echo "error: Python 3.11 or later is needed, $$($(PYTHON) --version) is here; name another one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c "import ensurepip" 2>/dev/null \
	  || { apt-get install -y -q python3-venv >/dev/null 2>&1 || { apt-get update -q && apt-get install -y -q python3-venv; } >/dev/null; } \
	  || { echo "error: the Debian package python3-venv is needed: sudo apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing lookbook and its pinned packages (once; 1 to 2 minutes)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.installed
	@echo "installing what the tests need (once)"
	@$(PIP) -e ".[test]"
	@touch $@

# types are checked in the tests too, so what they need comes along
$(VENV)/.check: $(VENV)/.installed
	@echo "installing what the checks need (once)"
	@$(PIP) -e ".[test,check]"
	@touch $@ $(VENV)/.test

$(VENV)/.site: $(VENV)/.installed
	@echo "installing what the site needs (once)"
	@$(PIP) -e ".[docs]"
	@touch $@

# pages are tested in a real browser, and by axe-core for those who cannot see or click; the model
# file also in Node.js, whose package brings its library and needs no further download; wabt turns the
# page's WebAssembly from text into bytes
$(VENV)/.browser: Makefile | $(BIN)/pip
	@echo "installing what the tests of pages need (once)"
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || $(call debian,chromium)
	@command -v npm >/dev/null || $(call debian,npm)
	@ONNXRUNTIME_NODE_INSTALL=skip npm install --silent --no-audit --no-fund --prefix $(VENV)/web $(WEB)
	@touch $@

# the Korean lesson's figures; without the font they are labelled in English, and say so
$(VENV)/.fonts: | $(BIN)/pip
	@ls /usr/share/fonts/truetype/nanum/NanumGothic.ttf >/dev/null 2>&1 \
	  || apt-get install -y -q fonts-nanum >/dev/null 2>&1 \
	  || { apt-get update -q && apt-get install -y -q fonts-nanum; } >/dev/null 2>&1 \
	  || echo "note: no Korean font (Debian: fonts-nanum); the test that needs one is skipped"
	@touch $@
