# The commands of this project. Each is a line or two: the work is done by the
# programs in hack/.

# IMAGE is the name of the image that holds all four programs.
IMAGE ?= mediarooms.dev/mediarooms:dev
export IMAGE

# RECORDER_IMAGE is the name of the image of recorders that compose.
RECORDER_IMAGE ?= mediarooms.dev/mediarooms-recorder:dev

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^## / {printf "\n%s\n", substr($$0, 4)} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Try it

.PHONY: run
run: ## Start a local cluster (or use KUBECONFIG) with the operator and a demo room; print its URLs.
	hack/run

.PHONY: down
down: ## Stop the local cluster and remove everything that it made.
	hack/down

## Test it

.PHONY: test
test: ## Run every test there is: generated files, lint, unit, end-to-end with a browser.
	hack/test all

.PHONY: test-unit
test-unit: ## Run the unit tests only, with a real API server where they need one.
	hack/test unit

.PHONY: test-e2e
test-e2e: ## Run the end-to-end tests only, on a cluster of their own.
	hack/test e2e

.PHONY: fuzz
fuzz: ## Run every fuzz target for 10 minutes and keep the inputs that reach new code (FUZZTIME, FUZZ: a pattern).
	hack/fuzz $(or $(FUZZTIME),10m) $(FUZZ)

.PHONY: bench
bench: ## Print figures: forwarding beside its floor, delay, joins, bad networks, REST, time to a token (hack/bench -help).
	hack/bench

.PHONY: lint
lint: ## Check style, dependency directions and known vulnerabilities (go vet, golangci-lint, govulncheck).
	hack/linter
	hack/vulncheck

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the code that is called (govulncheck; hack/vulncheck --update).
	hack/vulncheck

.PHONY: verify
verify: ## Check that generated files are up to date.
	hack/generate --check

## Build it

.PHONY: build
build: ## Build the programs of the cluster, roomload and the kubectl plugin into bin/, static.
	hack/page
	hack/build

.PHONY: plugin
plugin: ## Build bin/kubectl-mediarooms only: put it on the PATH, and "kubectl mediarooms" works (docs/plugin.md).
	hack/build kubectl-mediarooms

.PHONY: site
site: ## Build the docs as a site, with a menu and a search, into dist/site.
	hack/site/build

.PHONY: sbom
sbom: build ## Write what each program is made of beside it, as CycloneDX (bin/*.cdx.json).
	hack/sbom

.PHONY: reproduce
reproduce: ## Build programs and image twice, in two folders, and compare them byte by byte.
	hack/reproduce

.PHONY: generate
generate: ## Generate deep copies, CRDs, the control protocol's code, the tables of the docs, and what the chart takes over.
	hack/generate

.PHONY: fmt
fmt: ## Format the Go code.
	gofmt -w $$(git ls-files '*.go')

.PHONY: vet
vet: ## Run go vet.
	for module in . loadtest hack/cluster hack/vulnerabilities; do go vet -C $$module ./... || exit; done

.PHONY: image
image: sbom ## Build the image IMAGE from bin/, with buildah or docker.
	hack/image $(IMAGE)

.PHONY: recorder-image
recorder-image: ## Build the image RECORDER_IMAGE of recorders that compose, from bin/recorder and Debian's ffmpeg.
	hack/ffmpeg .local/ffmpeg
	DOCKERFILE=Dockerfile.recorder hack/image $(RECORDER_IMAGE)

.PHONY: release
release: ## Build a release of VERSION into dist/: images, chart, manifests, tools, bills of materials, checksums.
	hack/release $(VERSION)

## Install it (into the cluster of KUBECONFIG, else the local one)

.PHONY: install
install: ## Install the custom resource definitions.
	hack/deploy install

.PHONY: uninstall
uninstall: ## Remove the custom resource definitions, and with them all rooms.
	hack/deploy uninstall

.PHONY: deploy
deploy: ## Install everything: definitions, operator, gateway, with the image IMAGE.
	hack/deploy deploy

.PHONY: undeploy
undeploy: ## Remove everything that deploy installed.
	hack/deploy undeploy
