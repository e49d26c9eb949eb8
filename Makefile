# Everything here runs on the Node of node_modules, not on the machine's, which may be too old.
SHELL := /bin/bash
.SHELLFLAGS := --norc -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
# Settings of a person's other work, and for another Node, are not for ours; where it finds certificates and addresses is kept.
NODE := exec env -u NODE_ENV -u NODE_PATH -u NODE_USE_ENV_PROXY -u NODE_V8_COVERAGE -u NODE_DEBUG \
	NODE_OPTIONS='$(filter --use-%-ca --dns-result-order=%,$(NODE_OPTIONS))' node_modules/.bin/node
# Written when all is installed. Whatever else npm does to node_modules afterwards is looked at.
READY := node_modules/.postern-installed

# `make demo VAULT=openbao`; what the environment calls VAULT is somebody else's.
ifeq ($(origin VAULT),command line)
export POSTERN_VAULT_PRODUCT := $(VAULT)
endif

.PHONY: help bootstrap demo console dev dist image release generate plugin test faults bench scale check lint linters mutants \
	simulate picture pin clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

bootstrap: $(READY) ## Find or make Vault, Terraform and its providers, and say where each comes from
	@$(NODE) tools/bootstrap.ts

demo: $(READY) ## Play the whole job on a private Vault and a stand-in for Auth0, then clean up (VAULT=openbao: on that)
	@$(NODE) dev/demo.ts

dev: $(READY) ## Keep the same stack running and print its addresses
	@$(NODE) cli/main.ts dev

generate: $(READY) ## Make the plugin protocol's TypeScript, docs/audit.schema.json, docs/troubleshooting.md and Grafana's dashboards
	@$(NODE) tools/protocol/generate.ts
	@$(NODE) tools/audit/main.ts
	@$(NODE) tools/troubleshooting/main.ts
	@$(NODE) tools/dashboards/main.ts

console: $(READY) ## Build the operators' console from console/ into the broker
	@$(NODE) tools/console/main.ts

test: $(READY) ## Run every test on the real parts (ARGS='--project unit' narrows it)
	@$(NODE) node_modules/vitest/vitest.mjs run $(ARGS)

faults: $(READY) ## Let a real cluster fail under load, and tell what clients saw: Vault on Raft, brokers, nginx
	@POSTERN_TEST_FAULTS=whole $(NODE) node_modules/vitest/vitest.mjs run --project fault --project leaks $(ARGS)

plugin: $(READY) ## Build Vault's secrets plugin into dist/: one executable, and one script (ARGS='--version v1.2.3')
	@$(NODE) tools/plugin/main.ts $(ARGS)

dist: $(READY) ## Build what is deployed into dist/: the postern executable and the npm package, each with its SBOM
	@$(NODE) tools/dist/main.ts $(ARGS)

image: $(READY) ## Build the broker's OCI image with Docker or Podman, pulling nothing (ARGS='--tag NAME:TAG')
	@$(NODE) tools/image/main.ts $(ARGS)

release: $(READY) ## Write all that is released, with checksums, into dist/release (ARGS=--snapshot before its time)
	@$(NODE) tools/release/main.ts $(ARGS)

bench: $(READY) ## Measure, side by side with the alternatives (ARGS='--only verify' narrows it)
	@$(NODE) test/bench/main.ts $(ARGS)

scale: $(READY) ## Count what a million tenants and a hundred replicas ask of Vault and Auth0 (ARGS='--tenants 100000')
	@$(NODE) test/simulation/scale/main.ts $(ARGS)

lint: linters ## Check style, format, the import law, types and the form of Terraform files
	@$(NODE) node_modules/vitest/vitest.mjs run --project lint --exclude '**/linters.test.ts'

linters: $(READY)
	@node_modules/.bin/oxlint --deny-warnings
	@node_modules/.bin/oxfmt --check
	@node_modules/typescript/bin/tsc --noEmit
	@node_modules/typescript/bin/tsc --noEmit --project console
	@$(NODE) tools/law/main.ts
	@$(NODE) tools/terraformfmt.ts

check: linters ## What to run before every commit: lint, types and unit tests, in a minute
	@$(NODE) node_modules/vitest/vitest.mjs run --project lint --project unit --exclude '**/linters.test.ts' --maxWorkers=3

mutants: $(READY) ## Break the security core in one line at a time: the unit tests must notice (ARGS='name ...' narrows it)
	@$(NODE) --disable-warning=ExperimentalWarning test/mutants/main.ts $(ARGS)

simulate: $(READY) ## Play brokers over a simulated Vault, Auth0, network and clock, seed by seed (ARGS=--help)
	@$(NODE) --disable-warning=ExperimentalWarning test/simulation/main.ts $(ARGS)

picture: $(READY) ## Draw the rooms of the code into README.md
	@$(NODE) tools/law/picture.ts

pin: $(READY) ## Write the SHA-256 of the official releases into tools/versions.json, for review
	@$(NODE) tools/pin.ts $(ARGS)

clean: ## Remove what was made in the checkout; the cache of parts stays
	@rm -rf node_modules coverage dist .postern
	@find . -name .terraform -type d -prune -exec rm -rf {} +

$(READY): package-lock.json $(wildcard node_modules/.package-lock.json)
	@exec $(SHELL) --norc tools/install.sh
