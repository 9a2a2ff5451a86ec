package webhook

// plan is how a Webhook is to be served. refused says why nothing is sent; it is nil when something
// is.
type plan struct {
	settings settings
	refused  *refusal
}

// makePlan decides how a Webhook is served. It is pure.
func makePlan(o observed, guard Guard) plan {
	settings, refused := prepare(o.hook, o.peers, o.secret, guard)
	return plan{settings, refused}
}
