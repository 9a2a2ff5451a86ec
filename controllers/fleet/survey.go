package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	controlv1 "mediarooms.dev/mediarooms/internal/control/v1"
)

// surveyBound is how long a pod may take to say which rooms it hosts. A leader begins with nothing
// before that.
const surveyBound = 2 * time.Second

// Survey asks all pods which rooms they host, before Start, and returns the pods of each Session,
// by name: there may be two, while one gives a room to the other. It changes nothing at the pods. A
// pod that does not answer in time is left out.
func (f *Fleet) Survey(ctx context.Context) map[types.UID][]Pod {
	f.mu.Lock()
	pods := make([]Pod, 0, len(f.links))
	for _, l := range f.links {
		if !l.lost {
			pods = append(pods, l.pod)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(pods, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })

	ctx, cancel := context.WithTimeout(ctx, surveyBound)
	defer cancel()
	answers := make([][]string, len(pods))
	var asked sync.WaitGroup
	for n, pod := range pods {
		asked.Go(func() {
			var err error
			if answers[n], err = f.roomsOf(ctx, pod); err != nil {
				log.FromContext(ctx).Info("Not asking a media pod for its rooms", "Pod", pod.Name, "reason", err.Error())
			}
		})
	}
	asked.Wait()
	found := make(map[types.UID][]Pod)
	for n, uids := range answers {
		for _, uid := range uids {
			found[types.UID(uid)] = append(found[types.UID(uid)], pods[n])
		}
	}
	return found
}

// roomsOf asks one pod, and hangs up.
func (f *Fleet) roomsOf(ctx context.Context, pod Pod) ([]string, error) {
	connection, err := f.dial(pod)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	stream, err := controlv1.NewMediaPodClient(connection).Sync(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the stream: %w", err)
	}
	if err := f.greet(stream, pod); err != nil {
		return nil, err
	}
	message, err := stream.Recv()
	if err != nil {
		return nil, fmt.Errorf("receiving: %w", err)
	}
	hello := message.GetHello()
	if hello.GetPodUid() != pod.UID {
		return nil, fmt.Errorf("checking the pod's UID: %w", errOtherPod)
	}
	return hello.GetRoomUids(), nil
}
