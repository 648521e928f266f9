# `make` lists what there is. Everything runs in .venv, which the first target that needs it makes from uv.lock.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
PACKAGES := core/src/keepline functions connector/src/keepline_connector local/src/keepline_local simulator/src/simulator infra
CLIENT := clients/python/src/keepline_client
# Quick ones first: a mistake shows within seconds.
RINGS := unit property functions contract simulation simulator local integration e2e chaos
RING_FOLDERS := $(wildcard $(RINGS:%=tests/%))
# These wait for nothing but a processor, so they share all there are. The others have leases of seconds in real time and real
# processes: one after the other, for a machine that is busy with something else is a fault of its own.
SHARED := unit property functions contract simulation
SHARED_FOLDERS := $(wildcard $(SHARED:%=tests/%))
PYTEST := $(BIN)/python -m pytest

##@ Run
.PHONY: demo
demo: .venv/.synced  ## Run it all with the simulator in WhatsApp's place, with phones that scan by themselves
	@$(BIN)/python -m keepline_local demo

.PHONY: up
up: .venv/.synced  ## Run it all against the real WhatsApp; what it stores survives a restart
	@$(BIN)/python -m keepline_local up

# For example: make follow ID=m_6temzapiw5q236squ7ntrghjom
.PHONY: follow
follow: .venv/.synced  ## Show the way of one message through all parts of the run, from their logs
	@$(BIN)/python -m keepline_local logs $(ID)

# Of another installation: KEEPLINE_URL=https://… KEEPLINE_API_KEY=… make status
.PHONY: status
status: .venv/.synced  ## Show the live picture: sessions, connectors, queue, uptime, alerts (STATUS="--once" or "--json")
	@$(BIN)/python -m keepline_local.status $(STATUS)

##@ Check
.PHONY: test
test: .venv/.synced  ## Run all tests, quick ones first, with a coverage figure
	@# Before pytest, whose guard lets nothing beyond loopback: where Google's emulators are not installed they are fetched.
	@$(BIN)/python -c "from keepline_local.emulators import FIRESTORE, PUBSUB, obtain; obtain(FIRESTORE); obtain(PUBSUB)"
	@scripts/browser >/dev/null
	$(PYTEST) $(SHARED_FOLDERS) -n auto --maxprocesses=4 --dist=worksteal --cov --cov-report=
	$(PYTEST) $(filter-out $(SHARED_FOLDERS),$(RING_FOLDERS)) --cov --cov-append --cov-report=term:skip-covered

.PHONY: $(RINGS:%=test-%)
$(RINGS:%=test-%): test-%: .venv/.synced
	$(PYTEST) tests/$*

# Optional, because npm brings it: 240 MB. Without it these tests are skipped.
.PHONY: test-firebase-tools
test-firebase-tools: .venv/.synced  ## Run the console on Firebase's own emulators, with real sign-in (needs Node.js 20)
	@cd tests/firebase_tools && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	$(PYTEST) tests/firebase_tools

.PHONY: test-slow
test-slow: .venv/.synced  ## Run the tests that wait for the library's real times (minutes)
	$(PYTEST) $(RING_FOLDERS) -m slow

# With another seed: make fuzz-api FUZZ="--hypothesis-seed=7"; one operation: make fuzz-api FUZZ="-k send"
.PHONY: fuzz-api
fuzz-api: .venv/.synced  ## Ask the API thousands of things that fit its description and that do not (about 20 minutes)
	$(PYTEST) tests/functions/test_api_fuzz.py --hypothesis-profile=fuzz --timeout=1200 $(FUZZ)

# With other figures: make chaos-queue CHAOS="--kills 20 --minutes 3 --seed 7 --phase single"
.PHONY: chaos-queue
chaos-queue: .venv/.synced  ## Kill cells and connectors 200 times under load; nothing may be lost (about 25 minutes)
	@$(BIN)/python -m tests.chaos.queue $(CHAOS)

# With other figures: make chaos-webhooks CHAOS="--events 1000 --seed 7"
.PHONY: chaos-webhooks
chaos-webhooks: .venv/.synced  ## Kill a webhook's receiver, its deliverers and wakes under 10,000 events; all must arrive in order
	@$(BIN)/python -m tests.chaos.webhooks $(CHAOS)

# With other figures: make chaos CHAOS="--repeat 2 --only reset --only cell_kill --seed 7 --phase standby"
.PHONY: chaos
chaos: .venv/.synced  ## Break everything that can break, again and again, under load; print the gaps (about 20 minutes)
	@$(BIN)/python -m tests.chaos.faults $(CHAOS)

# Nightly: make soak SOAK="--minutes 480"; the same again: SOAK="--seed 7"
.PHONY: soak
soak: .venv/.synced  ## Everything at once for 30 minutes: kills, cuts, stalls, bans, deploys, a slow Firestore; then compare
	@$(BIN)/python -m tests.chaos.soak $(SOAK)

# With other figures: make recovery-test RECOVERY="--runs 6 --seed 7"
.PHONY: recovery-test
recovery-test: .venv/.synced  ## Stop a service 20 times: how long until it is noticed, and until it works again (about 5 minutes)
	@$(BIN)/python -m tests.chaos.recovery $(RECOVERY)

.PHONY: check
check: .venv/.synced  ## Check format, lint, types, import rules and dead code
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/mypy --python-version 3.10 $(CLIENT)
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/python -m infra.checks

.PHONY: check-infra
check-infra: .venv/.synced .venv-infra/.synced  ## Check what would be deployed: Terraform, permissions, indexes, images, commands (no cloud needed)
	$(BIN)/python -m infra.checks
	$(PYTEST) -q tests/unit/test_deploy_files.py
	.venv-infra/bin/checkov --directory infra/terraform --framework terraform --skip-download --compact --quiet
	.venv-infra/bin/checkov --file connector/Dockerfile --framework dockerfile --skip-download --compact --quiet
	.venv-infra/bin/hadolint connector/Dockerfile

# checkov holds many packages at versions of its own, so its tools have an environment for themselves.
.venv-infra/.synced: infra/checks/requirements.txt | .venv/.synced
	@echo "Making .venv-infra, with checkov and hadolint…"
	@$(BIN)/python -m venv --clear .venv-infra
	@.venv-infra/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement infra/checks/requirements.txt
	@touch $@

.PHONY: dry-build
dry-build: .venv/.synced  ## Build the connector's image without Docker in dist/image, start it from its files alone, stop it
	@$(BIN)/python -m infra.checks.dry_build dist/image
	@$(BIN)/python -m infra.checks.run_image dist/image

.PHONY: format
format: .venv/.synced  ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: screenshots
screenshots: .venv/.synced  ## Start the demo with things going on, and take each page of the console (about 3 minutes)
	@$(BIN)/python -m tests.screenshots

.PHONY: client
client: .venv/.synced  ## Make the client without await anew from the one with it
	@$(BIN)/python clients/python/make_sync.py

##@ Deploy
.PHONY: deploy
deploy: .venv/.synced  ## Set up or update Keepline in a Google Cloud project: make deploy PROJECT=my-project [REGIONS="europe-west1 europe-west4"]
	@scripts/deploy "$(PROJECT)" "$(REGIONS)"

.PHONY: destroy
destroy: .venv/.synced  ## Take down what costs and keep the data: make destroy PROJECT=my-project (DATA=delete: all of it)
	@scripts/destroy "$(PROJECT)" "$(DATA)"

##@ Measure
# Smaller counts: make report QUICK=1; the pages alone, from what is kept: make report FROM=results; some runs: make report REPORT="--only year"
.PHONY: report
report: .venv/.synced  ## Measure everything, write docs/reliability.md and README's summary (hours; QUICK=1: 10 minutes)
	@$(BIN)/python -m bench.report $(if $(QUICK),--quick) $(if $(FROM),--from-results) $(REPORT)

# Which ratios belong to a release: make bench-compare RELEASE="--release 0.1.0"
.PHONY: bench-compare
bench-compare: .venv/.synced  ## Compare the ratios of the kept results with the last release's; exit 1 beyond the tolerance
	@$(BIN)/python -m bench.report.history $(RELEASE)

.PHONY: profile
profile: .venv/.synced  ## Profile the hot paths: send, settle, inbound, API accept; the largest costs of each
	@$(BIN)/python -m bench.profile

.PHONY: bench
bench: .venv/.synced  ## Time a message from its 202 to the wire, beside neonize called directly; count what it costs
	@$(BIN)/python bench/accept_to_wire.py

# With other figures: make compare COMPARE="--repeat 1 --only reset --seed 7"; in two minutes: COMPARE=--quick
.PHONY: compare
compare: .venv/.synced  ## Keepline beside a gateway as they are commonly built, under the same faults (about 20 minutes)
	@$(BIN)/python -m bench.compare $(COMPARE)

# For long: make bench-sustained SUSTAINED="--minutes 30 --share 0.25"; at a rate of your own: SUSTAINED="--minutes 5 --rate 4"
.PHONY: bench-sustained
bench-sustained: .venv/.synced  ## Half the peak for 10 minutes without a fault: memory and file descriptors must stay flat
	@$(BIN)/python -m tests.chaos.soak --calm --minutes 10 $(SUSTAINED)

# With other figures: make bench-api API="--users 50 500 --seconds 30"
.PHONY: bench-api
bench-api: .venv/.synced  ## Put 100 and then 1,000 clients at once on the API: success, times, limit hits, nothing accepted twice
	@$(BIN)/python bench/api_load.py $(API)

# With other figures: make bench-restore RESTORE="--rounds 5 --accounts 10"
.PHONY: bench-restore
bench-restore: .venv/.synced  ## Kill a connector and delete its disk, 50 times: how long until its numbers are back
	@$(BIN)/python bench/restore.py $(RESTORE)
.PHONY: bench-sessions
bench-sessions: .venv/.synced  ## Memory per session at 10, 100 and 200 devices, time to connect all, threads, idle CPU
	@$(BIN)/python bench/sessions.py

# With other figures: make bench-assignment ASSIGNMENT="--accounts 50000 --seed 7"; one shard alone, growing: ASSIGNMENT=--single
.PHONY: bench-assignment
bench-assignment: .venv/.synced  ## Place the devices of a million accounts; lose a connector and a region (about 2 minutes)
	@$(BIN)/python -m bench.assignment $(ASSIGNMENT)

# With other figures: make uptime UPTIME="--rounds 30 --seed 7 --profile normal"
.PHONY: uptime
uptime: .venv/.synced  ## A month of faults in virtual time: how long an accepted message cannot leave (about 2 minutes)
	@$(BIN)/python -m tests.simulation.month $(UPTIME)

# With other figures: make uptime-year YEAR="--rounds 10 --seed 7"
.PHONY: uptime-year
uptime-year: .venv/.synced  ## The same for a year, both profiles, with what each assumption matters (about 3 minutes)
	@$(BIN)/python -m tests.simulation.year $(YEAR)

.PHONY: bench-simulator
bench-simulator: .venv/.synced  ## Messages a second, linked devices and memory of the simulator
	@$(BIN)/python bench/simulator_load.py

##@ Environment
.PHONY: install
install: .venv/.synced  ## Make .venv with the locked packages (the other targets do it when it is needed)

.PHONY: lock
lock:  ## Write uv.lock anew after a change of dependencies
	@scripts/bootstrap --lock

.PHONY: clean
clean:  ## Remove what was built and what local runs stored, all but the API key
	rm -rf .venv .venv-infra .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage* dist
	rm -rf .keepline/demo .keepline/up .keepline/logs .keepline/run.json
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*##"} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z0-9%-]+:.*##/ {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST) \
	  | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi
	@echo "  make test-RING        Run one ring of tests: $(RING_FOLDERS:tests/%=%)"

# Anew only when what is to be installed has changed.
.venv/.synced: uv.lock pyproject.toml $(wildcard */pyproject.toml) clients/python/pyproject.toml scripts/bootstrap
	@scripts/bootstrap
