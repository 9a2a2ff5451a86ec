// Package doctor is the authority on what a working installation looks like from outside: it looks
// at it with the rights of whoever calls, and says of each thing that is not as it has to be what
// is wrong and what to do. It changes nothing; the test call of Call makes a room and removes it.
package doctor

import (
	"context"
	"net/http"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// Verdict is how a thing is.
type Verdict string

const (
	// OK says that it is as it has to be.
	OK Verdict = "OK"
	// Warning says that rooms work, but something is worse than it could be, or will fail.
	Warning Verdict = "Warning"
	// Problem says that rooms do not work, for some or for all.
	Problem Verdict = "Problem"
	// Skipped says that it could not be looked at.
	Skipped Verdict = "Skipped"
)

// Finding is what was found out about one thing.
type Finding struct {
	// Check is what was looked at, such as "operator".
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	// Text says how it is.
	Text string `json:"text"`
	// Remedy says what to do; "" when there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// Installation is what is examined, and how.
type Installation struct {
	// Objects reads objects. Its scheme has the project's kinds, those of Kubernetes and
	// CustomResourceDefinitions.
	Objects client.Client
	// Config is how the API server is reached.
	Config *rest.Config
	// SystemNamespace is where the operator, the gateway and the media pods are.
	SystemNamespace string
	// Namespace is the tenant's.
	Namespace string
	// HTTP makes the requests to the gateway, and opens the sockets of the test call; nil is a
	// client of the doctor's own.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Call has a test call made. nil makes none.
	Call *Call
}

// Report is what was found, in the order in which to mend it: later things may be wrong because of
// earlier ones.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Count returns how many findings have a verdict.
func (r Report) Count(verdict Verdict) int {
	n := 0
	for _, finding := range r.Findings {
		if finding.Verdict == verdict {
			n++
		}
	}
	return n
}

// examination is an examination that is going on: the findings, and what was learned.
type examination struct {
	Installation
	report Report

	// stop is set when nothing else can be looked at.
	stop bool
	// missing are the names of definitions that are not there, or can't be used.
	missing map[string]bool
	pools   []v1alpha1.MediaPool
	// pods are the media pods, nodes all nodes by name; nil when they may not be listed.
	pods        []corev1.Pod
	nodes       map[string]*corev1.Node
	deployments []appsv1.Deployment
	parts       []corev1.Pod // pods of the operator and the gateway
	denied      map[string]bool
}

// Examine looks at everything, each request within the context. said is called with each finding as
// it comes; it may be nil.
func Examine(ctx context.Context, installation Installation, said func(Finding)) Report {
	e := &examination{Installation: installation, missing: map[string]bool{}, denied: map[string]bool{}}
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.HTTP == nil {
		e.HTTP = &http.Client{Timeout: requestTimeout}
		defer e.HTTP.CloseIdleConnections()
	}
	told := 0
	for _, check := range []func(context.Context){
		e.apiServer, e.rights, e.definitions, e.parties, e.operator, e.gateway, e.fleet, e.buffers, e.nodeClocks, e.publicURLs, e.webhooks, e.call,
	} {
		check(ctx)
		for ; told < len(e.report.Findings); told++ {
			if said != nil {
				said(e.report.Findings[told])
			}
		}
		if e.stop || ctx.Err() != nil {
			break
		}
	}
	return e.report
}

// requestTimeout bounds one request to the gateway or the API server.
const requestTimeout = 10 * time.Second

func (e *examination) add(verdict Verdict, check, text, remedy string) {
	e.report.Findings = append(e.report.Findings, Finding{Check: check, Verdict: verdict, Text: text, Remedy: remedy})
}

func (e *examination) ok(check, text string)              { e.add(OK, check, text, "") }
func (e *examination) warn(check, text, remedy string)    { e.add(Warning, check, text, remedy) }
func (e *examination) problem(check, text, remedy string) { e.add(Problem, check, text, remedy) }
func (e *examination) skip(check, text string)            { e.add(Skipped, check, text, "") }
