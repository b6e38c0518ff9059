# The two commands of a newcomer: `make demo` and `make test`.

CARGO ?= cargo
# Real collections for the larger tests and benches; without them those tests say that they are skipped.
QUARRY_SHARED ?= $(abspath ../shared)
ifneq ($(wildcard $(QUARRY_SHARED)/data),)
export QUARRY_SHARED
endif

# Where `make tools` puts what `make check` needs.
QUARRY_TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/quarry/tools
export QUARRY_TOOLS
export PATH := $(QUARRY_TOOLS)/bin:$(PATH)
# Tests load ONNX Runtime themselves; the binary sets this on its own.
export ORT_DISABLE_TELEMETRY := 1

.PHONY: help build binary install demo wheel wheel-model test-python test-python-frameworks test test-checked test-gpu tools docs check audit fuzz miri bench bench-load bench-service bench-index bench-index-growth bench-rerank bench-text runtime fmt clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

runtime: ## Fetch ONNX Runtime's shared library into .onnxruntime/
	@encoders/scripts/fetch-onnxruntime.sh

build: runtime binary ## Build the binary quarry, and make the bundled model's token graph
	@encoders/scripts/fetch-token-model.sh

binary:
	$(CARGO) build --release --locked --bin quarry

install: build ## Install the binary (cargo install), and model and runtime into the user's data folder
	$(CARGO) install --locked --path cli
	@tools/install-data.sh

demo: build ## Index, search and evaluate the bundled sample collection
	target/release/quarry demo

test: build ## Run all tests
	$(CARGO) test --release --locked --workspace

wheel: ## The Python package: one dist/quarry_search-*.whl (needs pip)
	@python/tools/wheel.sh

wheel-model: build ## The bundled model as a package of its own: dist/quarry_search_model-*.whl
	@python/tools/wheel.sh model

test-python: build wheel ## Install the wheel into a new environment, and run the package's tests there
	@python/tools/test.sh tests

test-python-frameworks: build wheel ## The same of PyTerrier, BEIR, MTEB, LangChain and others, which bring gigabytes
	@python/tools/test.sh tests_frameworks

# After it the binary is the checked one, until something is built again.
test-checked: build ## The same with overflow checks and debug assertions in our own crates; CHECKED="--lib" runs a part
	$(CARGO) test --config tools/checked.toml --release --locked --workspace $(CHECKED)

test-gpu: ## Tests that need a GPU; they say when they are skipped
	$(CARGO) test --release --locked -p quarry-reranker --test gpu -- --nocapture

tools: ## Install the tools that `make check` needs, at the versions of tools/versions
	@CARGO="$(CARGO)" tools/install.sh

# Building mdbook takes minutes, so `make tools`, which continuous integration runs, leaves it out.
docs: ## The guide, figures and decisions as a book in target/book
	@CARGO="$(CARGO)" tools/install.sh docs
	mdbook build docs
	@echo "target/book/index.html"

check: runtime ## Format, lints, documentation, short fuzz runs, dependencies, features, old and other platforms, packages
	@tools/install.sh --check
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings -D clippy::incompatible_msrv
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps --quiet
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	CARGO="$(CARGO)" tools/fuzz.sh
	$(CARGO) fetch --locked --quiet
	$(CARGO) deny --offline check bans licenses sources
	@CARGO="$(CARGO)" tools/advisories.sh
	@CARGO="$(CARGO)" tools/platforms.sh
	@CARGO="$(CARGO)" tools/package.sh --offline

audit: ## Known vulnerabilities of dependencies; needs network
	@tools/install.sh --check
	$(CARGO) deny check advisories

fuzz: ## Every fuzz target, RUNS=N inputs each
	@tools/install.sh --check
	CARGO="$(CARGO)" tools/fuzz.sh

miri: ## Miri over vectors and index parsing, where it is installed
	tools/miri.sh

bench: build ## Micro-benchmarks
	$(CARGO) bench --locked -p quarry-benches

bench-load: build ## Load test of the server: requests a second and latencies
	$(CARGO) build --release --locked --bin load
	benches/load.sh

bench-service: build ## The same with writes, and at fixed rates of requests
	$(CARGO) build --release --locked --bin service
	benches/service.sh

bench-index: build ## The sparse index beside Seismic: time at equal overlap, bytes, builds
	CARGO=$(CARGO) benches/index/run.sh bench $(ARGS)

bench-index-growth: build ## The same from 25,000 to 1.6 million documents
	CARGO=$(CARGO) benches/index/run.sh growth $(ARGS)

bench-rerank: build ## MaxSim beside maxsim-cpu, and on a GPU where there is one
	CARGO=$(CARGO) benches/rerank/run.sh $(ARGS)

bench-text: build ## 100,000 texts to an index, killed twice and resumed
	python3 benches/text/interrupted.py $(ARGS)

fmt: ## Format
	$(CARGO) fmt --all

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf .onnxruntime quarry-demo dist
