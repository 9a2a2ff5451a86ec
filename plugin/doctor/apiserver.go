package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// minMinor is the oldest minor version of Kubernetes 1 that the custom resources work with.
	minMinor = 31
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 1 << 20
	// maxSkew is how far clocks may be apart: an answer is on its way for a moment.
	maxSkew    = 5 * time.Second
	halfSecond = time.Second / 2
	// staleness is how old the Lease of a node may be that is ready: kubelets renew it every 10 s.
	staleness = 90 * time.Second
)

// apiServer checks that the API server answers, its version, and its clock.
func (e *examination) apiServer(ctx context.Context) {
	const check = "API server"
	info, date, err := e.version(ctx)
	if err != nil {
		e.problem(check, fmt.Sprintf("it does not answer: %v", err), "check the kubeconfig, its context (--context) and the network")
		e.stop = true
		return
	}
	if minor, known := minorOf(info); known && minor < minMinor {
		e.problem(check, fmt.Sprintf("it is %s; the custom resources need 1.%d or newer", info.GitVersion, minMinor), "upgrade the cluster")
	} else {
		e.ok(check, "it is "+info.GitVersion)
	}
	e.clock("clock", "the API server", date)
}

// clock compares somebody's clock with that of this machine.
func (e *examination) clock(check, whose string, date time.Time) {
	if date.IsZero() {
		e.skip(check, whose+" does not say what time it is")
		return
	}
	skew := e.Now().Sub(date.Add(halfSecond)) // the header has whole seconds, rounded down
	if skew.Abs() <= maxSkew {
		e.ok(check, fmt.Sprintf("that of %s is as here", whose))
		return
	}
	than := "behind"
	if skew < 0 {
		than = "ahead of"
	}
	e.warn(check, fmt.Sprintf("that of %s is %s %s the one here", whose, skew.Abs().Round(time.Second), than),
		"have both machines keep their time by NTP: certificates, time-limited TURN credentials and ages depend on it")
}

// version asks for the version, and when it was answered.
func (e *examination) version(ctx context.Context) (info version.Info, date time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	caller, err := rest.HTTPClientFor(e.Config)
	if err != nil {
		return info, date, err
	}
	base, _, err := rest.DefaultServerURL(e.Config.Host, "", schema.GroupVersion{}, true)
	if err != nil {
		return info, date, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), nil)
	if err != nil {
		return info, date, err
	}
	answer, err := caller.Do(request)
	if err != nil {
		return info, date, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return info, date, err
	}
	if answer.StatusCode != http.StatusOK {
		return info, date, fmt.Errorf("status %d", answer.StatusCode)
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return info, date, fmt.Errorf("reading its version: %w", err)
	}
	return info, dateOf(answer), nil
}

// dateOf returns when an answer was given, by the server's clock; zero when it does not say.
func dateOf(answer *http.Response) time.Time {
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date
}

var digits = regexp.MustCompile(`^[0-9]+`)

func minorOf(info version.Info) (minor int, known bool) {
	if info.Major != "1" {
		return 0, false
	}
	minor, err := strconv.Atoi(digits.FindString(info.Minor)) // some providers have "31+"
	return minor, err == nil
}

// nodeLeases is the namespace of the Leases by which kubelets say that they live.
const nodeLeases = "kube-node-lease"

// nodeClocks compares the nodes' clocks with the one here, by their Leases: a kubelet writes the
// time of its node there.
func (e *examination) nodeClocks(ctx context.Context) {
	const check = "nodes' clocks"
	if len(e.nodes) == 0 {
		return
	}
	var leases coordinationv1.LeaseList
	if err := e.Objects.List(ctx, &leases, client.InNamespace(nodeLeases)); err != nil {
		e.skip(check, fmt.Sprintf("the Leases of the nodes could not be read: %v", err))
		return
	}
	wrong, seen := 0, 0
	for i := range leases.Items {
		lease := &leases.Items[i]
		node := e.nodes[lease.Name]
		if node == nil || lease.Spec.RenewTime == nil || !nodeReady(node) {
			continue
		}
		seen++
		age := e.Now().Sub(lease.Spec.RenewTime.Time)
		if age < -maxSkew || age > staleness {
			wrong++
			e.warn(check, fmt.Sprintf("node %s says it is %s, and here it is %s", lease.Name,
				lease.Spec.RenewTime.UTC().Format(time.TimeOnly), e.Now().UTC().Format(time.TimeOnly)),
				"have the node keep its time by NTP")
		}
	}
	if seen > 0 && wrong == 0 {
		e.ok(check, fmt.Sprintf("those of %s are as here, as far as their Leases tell", count(seen, "node")))
	}
}

func nodeReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
