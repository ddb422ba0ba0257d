# probescope. `make` runs the five stages on the embedded default and prints the report's path; `make test` tests.
# Targets are the stages' manifests: each is written last, and a stage whose inputs did not change only touches it.
#   make DEVICE=cuda FEATURES=cuda     the same on a GPU
#   make EXPERIMENTS=shapes-resnet     one backbone

DEVICE ?= cpu
FEATURES ?=
EXPERIMENTS ?= shapes-resnet shapes-bcos
OUT := out

CARGO ?= cargo
CARGO_FLAGS := --release --workspace $(if $(FEATURES),--features $(FEATURES))
BIN := target/release
BUILT := target/release/.probescope-built
SOURCES := Cargo.toml Cargo.lock $(shell find crates -type f -not -path '*/tests/*')
IMAGES := $(OUT)/shapes/images.manifest.json
manifests = $(EXPERIMENTS:%=$(OUT)/%/$(1).manifest.json)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all build test lint pretrain clean-out

all: $(OUT)/report/report.manifest.json
	@echo "report: $(OUT)/report/report.html"

# Cargo is started only when a source is newer than its last successful run.
build: $(BUILT)
$(BUILT): $(SOURCES)
	$(CARGO) build $(CARGO_FLAGS) --bins
	@touch $@

$(IMAGES): data/experiments/shapes.toml $(BUILT)
	$(BIN)/features shapes --config $< --out $(OUT)/shapes

$(call manifests,features): $(OUT)/%/features.manifest.json: data/experiments/%.toml data/backbones/%.safetensors data/backbones/%.toml $(IMAGES) $(BUILT)
	$(BIN)/features --config $< --out $(OUT)/$* --device $(DEVICE)

$(call manifests,probe): $(OUT)/%/probe.manifest.json: data/experiments/%.toml $(OUT)/%/features.manifest.json $(BUILT)
	$(BIN)/probe --config $< --out $(OUT)/$* --device $(DEVICE)

$(call manifests,attribute): $(OUT)/%/attribute.manifest.json: data/experiments/%.toml $(OUT)/%/probe.manifest.json $(BUILT)
	$(BIN)/attribute --config $< --out $(OUT)/$* --device $(DEVICE)

$(call manifests,evaluate): $(OUT)/%/evaluate.manifest.json: data/experiments/%.toml $(OUT)/%/attribute.manifest.json $(BUILT)
	$(BIN)/evaluate --config $< --out $(OUT)/$* --device $(DEVICE)

$(OUT)/report/report.manifest.json: data/experiments/report.toml $(call manifests,evaluate) $(BUILT)
	$(BIN)/report --config $< --out $(OUT)/report

# Programs first: the pipeline tests run what is in target/release.
test: $(BUILT)
	$(CARGO) test $(CARGO_FLAGS)

# The same profile as everything else, so that nothing compiles twice. With FEATURES=cuda also whether a build for NVIDIA GPUs
# compiles, which needs neither a GPU nor a CUDA toolkit.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(CARGO_FLAGS) --no-deps --lib

# Trains the shipped backbones again, from nothing but the command and the seed. Hours, not minutes.
pretrain: $(BUILT)
	$(BIN)/pretrain --config data/experiments/pretrain-shapes-resnet.toml --device $(DEVICE)
	$(BIN)/pretrain --config data/experiments/pretrain-shapes-bcos.toml --device $(DEVICE)

clean-out:
	rm -rf $(OUT)
