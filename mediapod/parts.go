package mediapod

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
	"mediarooms.dev/mediarooms/internal/mtls"
	standbyv1 "mediarooms.dev/mediarooms/internal/standby/v1"
	tapv1 "mediarooms.dev/mediarooms/internal/tap/v1"
	"mediarooms.dev/mediarooms/mediapod/control"
	"mediarooms.dev/mediarooms/mediapod/peer"
	"mediarooms.dev/mediarooms/mediapod/standby"
)

// callers are who may use each service of the control port.
var callers = map[string]string{
	controlv1.MediaPod_ServiceDesc.ServiceName: mtls.Manager,
	standbyv1.Standby_ServiceDesc.ServiceName:  mtls.MediaPod,
	tapv1.Tap_ServiceDesc.ServiceName:          mtls.Worker,
}

// authorize lets each part use its own service only.
func authorize(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := mayCall(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return handle(server, stream)
}

func mayCall(ctx context.Context, method string) error {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	from, _ := grpcpeer.FromContext(ctx)
	if from == nil {
		return status.Error(codes.Unauthenticated, "the caller is not known")
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return status.Error(codes.Unauthenticated, "the caller has no certificate")
	}
	if err := mtls.Require(info.State, callers[service]); err != nil {
		return status.Error(codes.PermissionDenied, err.Error())
	}
	return nil
}

// standbys is what the operator's stream tells of standbys; nil where rooms have none.
func (p *Pod) standbys() control.Standbys {
	if p.shared == nil {
		return nil
	}
	return standbys{p.shared}
}

// standbys translates between the control stream and the engine.
type standbys struct {
	*standby.Engine
}

// Protect implements control.Standbys.
func (s standbys) Protect(room string, by *control.Standby) {
	if by == nil {
		s.Engine.Protect(room, nil)
		return
	}
	s.Engine.Protect(room, &standby.Standby{PodUID: by.PodUID, Addresses: peerAddresses(by.Advertised), Secret: by.Secret})
}

// Follow implements control.Standbys.
func (s standbys) Follow(room string, primary control.Primary) {
	s.Engine.Follow(room, standby.Primary(primary))
}

// Status implements control.Standbys.
func (s standbys) Status(room string) control.StandbyStatus {
	status := s.Engine.Status(room)
	return control.StandbyStatus{State: control.StandbyState(status.State), Cause: status.Cause, TakenOver: status.At}
}

func peerAddresses(advertised []control.Address) []peer.Address {
	addresses := make([]peer.Address, 0, len(advertised))
	for _, address := range advertised {
		addresses = append(addresses, peer.Address{IP: address.IP, UDPPort: address.UDPPort, TCPPort: address.TCPPort})
	}
	return addresses
}
