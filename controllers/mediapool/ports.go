package mediapool

import (
	"k8s.io/utils/ptr"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// hostNetworkPorts is how many consecutive ports a pod in its node's network takes: media, control, signalling, health and metrics.
const hostNetworkPorts = 5

// defaultRange is where ports come from when a pool names no range (MediaPool.spec.exposure.portRange).
var defaultRange = v1alpha1.PortRange{First: 20000, Last: 20999}

// givenPorts are the ports that pods of a pool may be given on their nodes; none where nodes' ports are not ours to give.
func givenPorts(exposure v1alpha1.Exposure) v1alpha1.PortRange {
	if exposure.Type == v1alpha1.ExposureHostPort || exposure.Type == v1alpha1.ExposureHostNetwork {
		return ptr.Deref(exposure.PortRange, defaultRange)
	}
	return v1alpha1.PortRange{}
}

// choosePort returns the lowest port of the range that the fewest pods use, in steps of stride. used counts the pods per port. Two pods
// with the same port are kept on different nodes by the scheduler. 0 means that the range is smaller than the stride.
func choosePort(within v1alpha1.PortRange, stride int32, used map[int32]int) int32 {
	var best int32
	for port := within.First; port+stride-1 <= within.Last; port += stride {
		if best == 0 || used[port] < used[best] {
			best = port
		}
		if used[best] == 0 {
			break
		}
	}
	return best
}
