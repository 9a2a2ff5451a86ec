.PHONY: generate
generate: ## Generate deep copies, CRDs, the operator's roles and the control protocol's code.
	hack/generate
