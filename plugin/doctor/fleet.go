package doctor

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/exposure"
	"mediarooms.dev/mediarooms/controllers/podspec"
	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

const checkPool = "pool"

// nodePortRange is where a cluster takes node ports from unless it was told otherwise.
var nodePortRange = v1alpha1.PortRange{First: 30000, Last: 32767}

// fleet checks the pools, their ports, and the addresses of nodes and pods.
func (e *examination) fleet(ctx context.Context) {
	if e.missing["mediapools"] {
		return
	}
	if e.unlisted("mediapools") {
		e.skip(checkPool, "you may not list MediaPools")
		return
	}
	var pools v1alpha1.MediaPoolList
	if err := e.Objects.List(ctx, &pools); err != nil {
		e.skip(checkPool, fmt.Sprintf("listing MediaPools: %v", err))
		return
	}
	e.pools = pools.Items
	if len(e.pools) == 0 {
		e.problem(checkPool, "there is no MediaPool: Sessions wait", "make one: docs/install.md, A pool")
		return
	}
	e.defaultPool()
	e.readNodes(ctx)
	for i := range e.pools {
		e.pool(ctx, &e.pools[i])
	}
	e.troubledPods()
}

func (e *examination) defaultPool() {
	names := map[string][]string{"": nil} // by the class of the installation
	for i := range e.pools {
		if e.pools[i].Annotations[v1alpha1.DefaultPoolAnnotation] == "true" {
			of := e.pools[i].Spec.ClassName
			names[of] = append(names[of], e.pools[i].Name)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(names)) {
		e.defaultPoolOf(names[class])
	}
}

// defaultPoolOf checks the default pools of one installation.
func (e *examination) defaultPoolOf(names []string) {
	switch len(names) {
	case 0:
		e.warn(checkPool, "none is the default pool: Sessions without poolName wait",
			fmt.Sprintf("kubectl annotate mediapool %s %s=true", e.pools[0].Name, v1alpha1.DefaultPoolAnnotation))
	case 1:
	default:
		e.warn(checkPool, fmt.Sprintf("%s are default pools: the oldest counts", strings.Join(names, ", ")),
			fmt.Sprintf("leave the annotation %s on one", v1alpha1.DefaultPoolAnnotation))
	}
}

func (e *examination) readNodes(ctx context.Context) {
	if e.unlisted("nodes") {
		return
	}
	var nodes corev1.NodeList
	if err := e.Objects.List(ctx, &nodes); err != nil {
		e.skip("nodes", fmt.Sprintf("listing Nodes: %v", err))
		return
	}
	e.nodes = make(map[string]*corev1.Node, len(nodes.Items))
	for i := range nodes.Items {
		e.nodes[nodes.Items[i].Name] = &nodes.Items[i]
	}
}

// pool checks one pool.
func (e *examination) pool(ctx context.Context, pool *v1alpha1.MediaPool) {
	check := checkPool + " " + pool.Name
	before := len(e.report.Findings)
	e.poolConditions(check, pool)
	nodes := e.nodesFor(check, pool)
	exposed := podspec.Media.Exposed(pool.Spec.Exposure)
	e.ports(check, pool, exposed, len(nodes))
	e.relays(check, pool)
	e.addresses(ctx, check, pool, exposed, nodes)
	if len(e.report.Findings) == before {
		e.ok(check, fmt.Sprintf("it has %s ready and places for %s",
			count(int(pool.Status.ReadyPods), "pod"), count(int(pool.Status.FreeSessions), "more room")))
	}
}

// poolConditions passes on what the operator says.
func (e *examination) poolConditions(check string, pool *v1alpha1.MediaPool) {
	if pool.Status.ObservedGeneration < pool.Generation {
		e.problem(check, "the operator has not looked at its spec since it was written", "see what was found of the operator")
		return
	}
	if ready := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Status == metav1.ConditionUnknown {
		e.problem(check, "the operator has decided nothing about it yet", "see what was found of the operator")
		return
	}
	told := map[string]bool{}
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionProgressing, v1alpha1.ConditionReady} {
		condition := meta.FindStatusCondition(pool.Status.Conditions, kind)
		if condition == nil || condition.Status != metav1.ConditionFalse || told[condition.Message] {
			continue
		}
		told[condition.Message] = true
		e.problem(check, fmt.Sprintf("it is not %s (%s): %s", kind, condition.Reason, condition.Message),
			fmt.Sprintf("docs/api.md says what %s means; kubectl describe mediapool %s", condition.Reason, pool.Name))
	}
}

// nodesFor returns the nodes that pods of a pool could be on; nil when nodes may not be seen.
func (e *examination) nodesFor(check string, pool *v1alpha1.MediaPool) []*corev1.Node {
	if e.nodes == nil {
		return nil
	}
	selector := labels.SelectorFromSet(pool.Spec.Template.NodeSelector)
	var nodes []*corev1.Node
	for _, node := range e.nodes {
		if selector.Matches(labels.Set(node.Labels)) && nodeReady(node) && !node.Spec.Unschedulable {
			nodes = append(nodes, node)
		}
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	if len(nodes) == 0 {
		of := "no node is ready and takes pods"
		if !selector.Empty() {
			of = "no node that is ready and takes pods has the labels " + selector.String()
		}
		e.problem(check, of, "kubectl get nodes --show-labels; kubectl uncordon; template.nodeSelector of the pool")
	}
	return nodes
}

// ports checks the range that pods take ports of their nodes from.
func (e *examination) ports(check string, pool *v1alpha1.MediaPool, exposed exposure.Exposure, nodes int) {
	within := exposed.NodePorts()
	if within == (v1alpha1.PortRange{}) {
		return
	}
	each := exposed.Given(within.First)
	stride := each.Last - each.First + 1
	has := within.Last - within.First + 1
	text := fmt.Sprintf("exposure.portRange, %d to %d, has %s", within.First, within.Last, count(int(has), "port"))
	remedy := fmt.Sprintf("make it larger, and open it for UDP and TCP on the nodes: kubectl edit mediapool %s", pool.Name)
	minimum := ptr.Deref(pool.Spec.MinPods, 1)
	switch pods := has / stride; {
	case pods == 0:
		e.problem(check, fmt.Sprintf("%s; a pod with exposure %s takes %d", text, pool.Spec.Exposure.Type, stride), remedy)
	case nodes > 0 && pods*int32(nodes) < minimum:
		e.problem(check, fmt.Sprintf("%s: enough for %s on %s, and minPods is %d", text, count(int(pods)*nodes, "pod"), count(nodes, "node"), minimum), remedy)
	case nodes > 0 && pods*int32(nodes) < pool.Spec.MaxPods:
		e.warn(check, fmt.Sprintf("%s: enough for %s on %s, and maxPods is %d", text, count(int(pods)*nodes, "pod"), count(nodes, "node"), pool.Spec.MaxPods), remedy)
	}
	if within.First <= nodePortRange.Last && within.Last >= nodePortRange.First {
		e.warn(check, fmt.Sprintf("exposure.portRange, %d to %d, overlaps the usual node ports, %d to %d", within.First, within.Last, nodePortRange.First, nodePortRange.Last),
			"choose another range, unless the cluster's --service-node-port-range is another")
	}
}

// relays checks that clients have a way to pods that they can't reach themselves.
func (e *examination) relays(check string, pool *v1alpha1.MediaPool) {
	turn := slices.ContainsFunc(pool.Spec.IceServers, func(s v1alpha1.IceServer) bool { return strings.HasPrefix(s.URL, "turn") })
	if pool.Spec.Exposure.Type == v1alpha1.ExposureInternal && !turn {
		e.problem(check, "clients of exposure Internal come through a TURN server, and iceServers has none",
			"name one in iceServers, or choose another exposure.type")
	}
}

// addresses checks that there are addresses by which clients reach media.
func (e *examination) addresses(ctx context.Context, check string, pool *v1alpha1.MediaPool, exposed exposure.Exposure, nodes []*corev1.Node) {
	facts := e.facts(ctx, pool, exposed, nodes)
	reasons := map[string]bool{}
	var private []string
	for _, f := range facts {
		addresses, missing := exposed.Advertise(f)
		if missing != "" && !reasons[missing] {
			reasons[missing] = true
			e.problem(check, fmt.Sprintf("clients are told no address of %s: %s", whose(f), missing), remedyAddress(pool, f))
		}
		if missing == "" && !slices.ContainsFunc(addresses, isPublic) {
			private = append(private, addresses[0].Ip)
		}
	}
	if len(private) > 0 && pool.Spec.Exposure.Type != v1alpha1.ExposureInternal && !localURL(pool.Spec.PublicURL) {
		e.warn(check, fmt.Sprintf("clients are told private addresses: %s", listed(private)),
			"fine if all clients are in that network; else set exposure.publicAddress, or annotate each node with "+v1alpha1.PublicAddressAnnotation)
	}
}

// facts are what addresses depend on: of each node where pods are reached by their nodes, else of
// each pod.
func (e *examination) facts(ctx context.Context, pool *v1alpha1.MediaPool, exposed exposure.Exposure, nodes []*corev1.Node) []exposure.Facts {
	var facts []exposure.Facts
	if exposed.NodePorts() != (v1alpha1.PortRange{}) {
		for _, node := range nodes {
			facts = append(facts, exposure.Facts{Pod: &corev1.Pod{}, Node: node})
		}
		return facts
	}
	services := e.services(ctx, pool, exposed)
	for i := range e.pods {
		pod := &e.pods[i]
		if pod.Labels[v1alpha1.PoolLabel] != pool.Name || !pod.DeletionTimestamp.IsZero() || pod.Spec.NodeName == "" {
			continue
		}
		f := exposure.Facts{Pod: pod, Node: e.nodes[pod.Spec.NodeName], Resolve: resolve(ctx)}
		for _, name := range exposed.ServiceNames(pod.Name) {
			if service := services[name]; service != nil {
				f.Services = append(f.Services, service)
			}
		}
		facts = append(facts, f)
	}
	return facts
}

func (e *examination) services(ctx context.Context, pool *v1alpha1.MediaPool, exposed exposure.Exposure) map[string]*corev1.Service {
	if !exposed.HasService() {
		return nil
	}
	var list corev1.ServiceList
	if err := e.Objects.List(ctx, &list, client.InNamespace(e.SystemNamespace), client.MatchingLabels{v1alpha1.PoolLabel: pool.Name}); err != nil {
		e.skip(checkPool+" "+pool.Name, fmt.Sprintf("listing the Services of its pods: %v", err))
		return nil
	}
	services := make(map[string]*corev1.Service, len(list.Items))
	for i := range list.Items {
		services[list.Items[i].Name] = &list.Items[i]
	}
	return services
}

// resolve looks a load balancer's name up from here.
func resolve(ctx context.Context) func(host string) (ips []string, missing string) {
	return func(host string) ([]string, string) {
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return nil, fmt.Sprintf("looking up the load balancer: %v", err)
		}
		return ips, ""
	}
}

func whose(f exposure.Facts) string {
	if f.Pod.Name != "" {
		return "media pod " + f.Pod.Name
	}
	return "node " + f.Node.Name
}

func remedyAddress(pool *v1alpha1.MediaPool, f exposure.Facts) string {
	switch {
	case pool.Spec.Exposure.Type == v1alpha1.ExposureLoadBalancer:
		return "does the cluster make load balancers for UDP, and of exposure.service.loadBalancerClass? kubectl describe its Service " + f.Pod.Name
	case f.Node != nil && f.Node.Annotations[v1alpha1.PublicAddressAnnotation] != "":
		return fmt.Sprintf("kubectl annotate --overwrite node %s %s=ADDRESS[,ADDRESS]", f.Node.Name, v1alpha1.PublicAddressAnnotation)
	}
	return "set exposure.publicAddress of the pool, or annotate each node with " + v1alpha1.PublicAddressAnnotation
}

func isPublic(address *controlv1.TransportAddress) bool {
	ip, err := netip.ParseAddr(address.Ip)
	return err == nil && !ip.IsPrivate() && !ip.IsLoopback()
}

// localURL says whether clients of a URL are in a private network, or on one machine.
func localURL(text string) bool {
	parsed, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(parsed.Hostname())
	return parsed.Hostname() == "localhost" || err == nil && (ip.IsPrivate() || ip.IsLoopback())
}

// troubledPods tells of media pods that are not ready, and why.
func (e *examination) troubledPods() {
	for i := range e.pods {
		pod := &e.pods[i]
		if trouble := troubleOf(pod); trouble != "" {
			e.warn("media pod", fmt.Sprintf("%s %s", pod.Name, trouble),
				fmt.Sprintf("kubectl -n %s describe pod %s; docs/install.md, When media pods do not start", pod.Namespace, pod.Name))
		}
	}
}
