# The commands that a reader needs. Everything else is plain Snakemake: .venv/bin/snakemake --help
PYTHON ?= python3
SNAKEMAKE := .venv/bin/snakemake

ifneq ($(words $(CURDIR)),1)
$(error the folder "$(CURDIR)" has a space in its name, which Snakemake cannot work with: move the project to another folder)
endif

.PHONY: demo test paper own figures publish analyse measure verify crate status usage clean prune results docs cost architectures bench chaos lint

demo: .venv/installed  ## every figure's experiment on the embedded digits, a few minutes
	$(SNAKEMAKE) --configfile workflow/runs/demo.yaml

paper: .venv/installed  ## the whole paper, as config.yaml describes it
	$(SNAKEMAKE)

own: .venv/installed  ## your own network and data, as workflow/runs/own.yaml says: docs/own.md
	$(SNAKEMAKE) --configfile workflow/runs/own.yaml

fig%: .venv/installed  ## one figure, of a run if one is named: make fig10 RUN=small
	$(SNAKEMAKE) $@ $(if $(RUN),--configfile workflow/runs/$(RUN).yaml)

figures: .venv/installed  ## every figure and the report of a published run, without training: make figures RUN=demo
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.published redraw $(RUN)

publish: .venv/installed  ## keep a finished run's tables and figures in results/reference: make publish RUN=demo [WEIGHTS=yes]
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.published publish $(RUN) $(if $(WEIGHTS),--weights)

analyse: .venv/installed  ## the tables of a published run again, with today's analysis and claims: make analyse RUN=demo [FIGURES=yes]
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.published analyse $(RUN) $(if $(FIGURES),--figures)

measure: .venv/installed  ## measure a published run's networks again, without training: make measure RUN=paper [DATA_DIR=data]
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.published measure $(RUN) $(if $(DATA_DIR),--data-dir $(DATA_DIR))

verify: .venv/installed  ## check finished and published runs against their checksums and specs: make verify [RUN=demo]
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.upkeep verify $(RUN)

status: .venv/installed  ## how far a run is: make status [RUN=demo] [CONFIG=my.yaml]; without a name, the last one started
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.status $(RUN) $(if $(CONFIG),--configfile $(CONFIG))

crate: .venv/installed  ## a run with its workflow and provenance as a Workflow Run RO-Crate, one zip file: make crate RUN=demo
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.crate $(RUN)

usage: .venv/installed  ## what runs, data and cache take on disk
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.upkeep usage

clean: .venv/installed  ## remove a run's results, but not the cache: make clean RUN=demo
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.upkeep clean $(RUN)

prune: .venv/installed  ## remove networks from the cache that no run has
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.upkeep prune

results: .venv/installed  ## docs/results.md again, from the published runs
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.results_page

docs: .venv/installed  ## docs/columns.md and docs/configuration.md again, from workflow/columns.yaml and the schema
	PYTHONPATH=workflow .venv/bin/python -m puzzles.output.reference_pages

cost: .venv/installed  ## docs/cost.md again, from config.yaml and the published benchmarks
	PYTHONPATH=.:workflow .venv/bin/python bench/cost_page.py

architectures: .venv/installed  ## docs/architectures.md again: the library on networks of torchvision and others
	PYTHONPATH=.:workflow .venv/bin/python bench/architectures_page.py

bench: .venv/installed  ## compare the engine with the usual tutorials' code on this machine, into results/bench
	PYTHONPATH=.:workflow .venv/bin/python bench/cost.py
	PYTHONPATH=.:workflow .venv/bin/python bench/compare.py
	PYTHONPATH=.:workflow .venv/bin/python bench/backends.py
	PYTHONPATH=.:workflow .venv/bin/python bench/growth.py
	PYTHONPATH=.:workflow .venv/bin/python bench/reading.py
	PYTHONPATH=.:workflow .venv/bin/python bench/profile_step.py
	PYTHONPATH=.:workflow .venv/bin/python bench/overhead.py
	PYTHONPATH=.:workflow .venv/bin/python bench/picture.py

test: .venv/installed
	.venv/bin/python -m pytest

chaos: .venv/installed  ## faults at random moments of whole runs, an hour or more: make chaos [TIMES=20] [FAULTS=kill]
	PYTHONPATH=.:workflow:tests .venv/bin/python tests/chaos.py $(if $(TIMES),--times $(TIMES)) $(if $(FAULTS),--faults $(FAULTS))

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

.venv/installed: envs/requirements.txt
	@echo "Installing up to $$(grep -c == $<) packages into .venv, about 6 GB with PyTorch; this takes a few minutes."
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --requirement $<
	touch $@
