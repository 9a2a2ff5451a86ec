package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/controllers/certs"
)

// Values of v1alpha1.ComponentLabel, and names of objects of an installation.
const (
	componentOperator = "manager"
	componentGateway  = "gateway"
	gatewayService    = "mediarooms-gateway"
	operatorLease     = "mediarooms-manager"
)

// leaseTime is how old the operator's Lease may be: it is renewed every two seconds, and held for
// eight.
const leaseTime = 30 * time.Second

const remedyInstall = "install it: make deploy, or kubectl apply --server-side -k config/default; for another namespace give --system-namespace"

// parties reads the Deployments and Pods of the operator and the gateway.
func (e *examination) parties(ctx context.Context) {
	const check = "parts"
	in := client.InNamespace(e.SystemNamespace)
	if e.unlisted("deployments") || e.unlisted("pods") {
		e.skip(check, fmt.Sprintf("you may not see Deployments and Pods in namespace %s: operator, gateway and media pods are not checked", e.SystemNamespace))
		return
	}
	var deployments appsv1.DeploymentList
	var pods corev1.PodList
	for _, err := range []error{
		e.Objects.List(ctx, &deployments, in, client.HasLabels{v1alpha1.ComponentLabel}),
		e.Objects.List(ctx, &pods, in, client.HasLabels{v1alpha1.ComponentLabel}),
	} {
		if err != nil {
			e.skip(check, fmt.Sprintf("reading namespace %s: %v", e.SystemNamespace, err))
			return
		}
	}
	e.deployments = deployments.Items
	e.pods = []corev1.Pod{}
	for i := range pods.Items {
		if pods.Items[i].Labels[v1alpha1.ComponentLabel] == v1alpha1.ComponentMediaPod {
			e.pods = append(e.pods, pods.Items[i])
			continue
		}
		e.parts = append(e.parts, pods.Items[i])
	}
}

// seen says whether the parts could be read.
func (e *examination) seen() bool { return e.pods != nil }

// operator checks that an operator runs and leads.
func (e *examination) operator(ctx context.Context) {
	const check = "operator"
	if !e.seen() {
		return
	}
	if !e.deployed(check, componentOperator) {
		return
	}
	var lease coordinationv1.Lease
	err := e.Objects.Get(ctx, client.ObjectKey{Namespace: e.SystemNamespace, Name: operatorLease}, &lease)
	switch {
	case apierrors.IsForbidden(err):
		e.ok(check, "it is ready; you may not read whether it leads")
	case apierrors.IsNotFound(err):
		e.problem(check, "it is ready, but none has ever led: the Lease "+operatorLease+" does not exist", logs(e.SystemNamespace, componentOperator))
	case err != nil:
		e.skip(check, fmt.Sprintf("reading the Lease %s: %v", operatorLease, err))
	case ptr.Deref(lease.Spec.HolderIdentity, "") == "":
		e.problem(check, "it is ready, but none leads", logs(e.SystemNamespace, componentOperator))
	case lease.Spec.RenewTime != nil && e.Now().Sub(lease.Spec.RenewTime.Time) > leaseTime:
		e.problem(check, fmt.Sprintf("the one that leads was last heard of %s ago", e.Now().Sub(lease.Spec.RenewTime.Time).Round(time.Second)),
			logs(e.SystemNamespace, componentOperator))
	default:
		e.ok(check, "it is ready and leads: "+*lease.Spec.HolderIdentity)
	}
}

// gateway checks that gateways run, have their certificate, and are reached by their Service.
func (e *examination) gateway(ctx context.Context) {
	const check = "gateway"
	if !e.seen() {
		return
	}
	sound := e.gatewayCertificate(ctx, check)
	if !e.deployed(check, componentGateway) {
		return
	}
	var service corev1.Service
	err := e.Objects.Get(ctx, client.ObjectKey{Namespace: e.SystemNamespace, Name: gatewayService}, &service)
	switch {
	case apierrors.IsNotFound(err):
		e.problem(check, "the Service "+gatewayService+" does not exist", remedyInstall)
		return
	case err != nil:
		e.skip(check, fmt.Sprintf("reading the Service %s: %v", gatewayService, err))
		return
	}
	ready, err := e.endpoints(ctx)
	switch {
	case err != nil:
		e.skip(check, fmt.Sprintf("reading the endpoints of the Service %s: %v", gatewayService, err))
	case ready == 0:
		e.problem(check, "the Service "+gatewayService+" has no ready endpoint", "compare its selector with the labels of the gateway's pods")
	case sound:
		e.ok(check, fmt.Sprintf("it is ready, with %s", count(ready, "endpoint")))
	}
}

// endpoints counts the ready endpoints of the gateway's Service.
func (e *examination) endpoints(ctx context.Context) (ready int, err error) {
	var slices discoveryv1.EndpointSliceList
	err = e.Objects.List(ctx, &slices, client.InNamespace(e.SystemNamespace), client.MatchingLabels{discoveryv1.LabelServiceName: gatewayService})
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if ptr.Deref(endpoint.Conditions.Ready, true) {
				ready++
			}
		}
	}
	return ready, err
}

// gatewayCertificate checks the certificate by which media pods know a gateway. It is false when a
// problem was found.
func (e *examination) gatewayCertificate(ctx context.Context, check string) bool {
	var secret corev1.Secret
	err := e.Objects.Get(ctx, client.ObjectKey{Namespace: e.SystemNamespace, Name: certs.GatewaySecret}, &secret)
	remedy := "the operator makes it: see what was found of the operator; " + logs(e.SystemNamespace, componentOperator)
	switch {
	case apierrors.IsForbidden(err):
		return true
	case apierrors.IsNotFound(err):
		e.problem(check, "its certificate, the Secret "+certs.GatewaySecret+", does not exist: its pods wait for it", remedy)
		return false
	case err != nil:
		e.skip(check, fmt.Sprintf("reading the Secret %s: %v", certs.GatewaySecret, err))
		return true
	}
	block, _ := pem.Decode(secret.Data[corev1.TLSCertKey])
	if block == nil {
		e.problem(check, "the Secret "+certs.GatewaySecret+" has no certificate in "+corev1.TLSCertKey, "delete the Secret: "+remedy)
		return false
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		e.problem(check, fmt.Sprintf("the certificate in the Secret %s can't be read: %v", certs.GatewaySecret, err), "delete the Secret: "+remedy)
		return false
	}
	if e.Now().After(certificate.NotAfter) {
		e.problem(check, fmt.Sprintf("its certificate has expired at %s", certificate.NotAfter.UTC().Format(time.RFC3339)), "the operator renews it: "+remedy)
		return false
	}
	return true
}

// deployed checks the Deployment of a part. It is false when the part does not run.
func (e *examination) deployed(check, component string) bool {
	var deployment *appsv1.Deployment
	for i := range e.deployments {
		if e.deployments[i].Labels[v1alpha1.ComponentLabel] == component {
			deployment = &e.deployments[i]
		}
	}
	if deployment == nil {
		e.problem(check, fmt.Sprintf("there is none in namespace %s", e.SystemNamespace), remedyInstall)
		return false
	}
	wanted := ptr.Deref(deployment.Spec.Replicas, 1)
	ready := deployment.Status.ReadyReplicas
	why := e.whyNotReady(component)
	if why == "" {
		why = unavailable(deployment)
	}
	remedy := fmt.Sprintf("kubectl -n %s describe pods -l %s=%s, and logs instead of describe", e.SystemNamespace, v1alpha1.ComponentLabel, component)
	switch {
	case wanted == 0:
		e.problem(check, fmt.Sprintf("the Deployment %s is scaled to 0", deployment.Name),
			fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=1", e.SystemNamespace, deployment.Name))
		return false
	case ready == 0:
		e.problem(check, fmt.Sprintf("0 of %d pods are ready%s", wanted, why), remedy)
		return false
	case ready < wanted:
		e.warn(check, fmt.Sprintf("%d of %d pods are ready%s", ready, wanted, why), remedy)
	}
	return true
}

// unavailable is what a Deployment says of pods that can't be made.
func unavailable(deployment *appsv1.Deployment) string {
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return ": " + condition.Message
		}
	}
	return ""
}

// whyNotReady says why a pod of a part is not ready, as a clause; "" when none tells.
func (e *examination) whyNotReady(component string) string {
	for i := range e.parts {
		if pod := &e.parts[i]; pod.Labels[v1alpha1.ComponentLabel] == component {
			if trouble := troubleOf(pod); trouble != "" {
				return ": " + pod.Name + " " + trouble
			}
		}
	}
	return ""
}

// troubleOf says what keeps a pod from being ready; "" when nothing does, or nothing tells.
func troubleOf(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return "can't be scheduled: " + condition.Message
		}
	}
	for _, status := range pod.Status.ContainerStatuses {
		if ended := status.LastTerminationState.Terminated; ended != nil && !status.Ready {
			return fmt.Sprintf("has ended with exit code %d (%s) %s", ended.ExitCode, ended.Reason, lastLine(ended.Message))
		}
		if waiting := status.State.Waiting; waiting != nil && waiting.Reason != "ContainerCreating" {
			return fmt.Sprintf("waits: %s %s", waiting.Reason, waiting.Message)
		}
		if ended := status.State.Terminated; ended != nil {
			return fmt.Sprintf("has ended with exit code %d (%s) %s", ended.ExitCode, ended.Reason, lastLine(ended.Message))
		}
	}
	return ""
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// logs is the command that shows what a part says.
func logs(namespace, component string) string {
	return fmt.Sprintf("kubectl -n %s logs -l %s=%s --tail=50", namespace, v1alpha1.ComponentLabel, component)
}
