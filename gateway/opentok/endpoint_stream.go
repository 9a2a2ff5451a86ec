package opentok

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
	"mediarooms.dev/mediarooms/gateway/objects"
)

// Bounds of the layout classes of streams.
const (
	maxLayoutClasses = 16
	maxLayoutClass   = 64
)

// nodeLibrary is what the User-Agent of the Node library begins with.
const nodeLibrary = "OpenTok-Node-SDK/"

var layoutClasses = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// streamJSON is a stream (opentok-rest 4.2). Names of streams are known to the clients only.
type streamJSON struct {
	ID            string   `json:"id"`
	VideoType     string   `json:"videoType,omitempty"`
	Name          string   `json:"name"`
	LayoutClasses []string `json:"layoutClassList"`
}

type streamsJSON struct {
	Count int          `json:"count"`
	Items []streamJSON `json:"items"`
}

func projectStreams(connection *v1alpha1.Connection) []streamJSON {
	layout := readLayout(connection)
	projected := make([]streamJSON, 0, len(connection.Status.Publishers))
	for _, publisher := range connection.Status.Publishers {
		projected = append(projected, streamJSON{
			ID:            publisher.StreamID,
			VideoType:     strings.ToLower(publisher.TypeOfVideo),
			LayoutClasses: layout.classes(publisher.StreamID),
		})
	}
	return projected
}

// listStreams serves GET SESSION/stream.
func (a *API) listStreams(ctx context.Context, c *call) (reply, error) {
	streams, err := a.streams(ctx, c)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: streamsJSON{Count: len(streams), Items: streams}}, nil
}

// streams returns the streams of a request's session.
func (a *API) streams(ctx context.Context, c *call) ([]streamJSON, error) {
	connections, err := a.connected(ctx, c)
	if err != nil {
		return nil, err
	}
	streams := []streamJSON{}
	for i := range connections {
		streams = append(streams, projectStreams(&connections[i])...)
	}
	return streams, nil
}

// readStream serves GET SESSION/stream/STREAM. The Node library parses the answer twice, unless its
// type is another one than JSON's.
func (a *API) readStream(ctx context.Context, c *call) (reply, error) {
	streams, err := a.streams(ctx, c)
	if err != nil {
		return reply{}, err
	}
	for _, stream := range streams {
		if stream.ID != c.stream {
			continue
		}
		if strings.HasPrefix(c.r.UserAgent(), nodeLibrary) {
			return reply{status: http.StatusOK, body: encode(stream), media: "text/plain; charset=utf-8"}, nil
		}
		return reply{status: http.StatusOK, body: stream}, nil
	}
	return reply{}, errStream
}

// classListsJSON is the body of setStreamClassLists.
type classListsJSON struct {
	Items []struct {
		ID            string   `json:"id"`
		LayoutClasses []string `json:"layoutClassList"`
	} `json:"items"`
}

// classes returns the layout classes of each stream that is named.
func (j classListsJSON) classes() (map[string][]string, error) {
	if len(j.Items) == 0 {
		return nil, badRequest("'items' must have a stream at least")
	}
	byID := map[string][]string{}
	for _, item := range j.Items {
		if len(item.LayoutClasses) > maxLayoutClasses {
			return nil, badRequest("'layoutClassList' may have at most %d classes", maxLayoutClasses)
		}
		for _, class := range item.LayoutClasses {
			if len(class) > maxLayoutClass || !layoutClasses.MatchString(class) {
				return nil, badRequest("'layoutClassList' must have classes of 1 to %d letters, digits, _ and -", maxLayoutClass)
			}
		}
		byID[item.ID] = append([]string{}, item.LayoutClasses...)
	}
	return byID, nil
}

// setStreamClassLists serves PUT SESSION/stream. Nothing is changed when one of the streams does
// not exist.
func (a *API) setStreamClassLists(ctx context.Context, c *call) (reply, error) {
	var body classListsJSON
	if err := readJSON(c, &body); err != nil {
		return reply{}, err
	}
	wanted, err := body.classes()
	if err != nil {
		return reply{}, err
	}
	connections, err := a.connected(ctx, c)
	if err != nil {
		return reply{}, err
	}
	changes, found := map[*v1alpha1.Connection]map[string][]string{}, 0
	for i := range connections {
		for _, publisher := range connections[i].Status.Publishers {
			if classes, named := wanted[publisher.StreamID]; named {
				if changes[&connections[i]] == nil {
					changes[&connections[i]] = map[string][]string{}
				}
				changes[&connections[i]][publisher.StreamID] = classes
				found++
			}
		}
	}
	if found < len(wanted) {
		return reply{}, errStream
	}
	for connection, classes := range changes {
		if err := a.setClasses(ctx, connection, classes); err != nil {
			return reply{}, err
		}
	}
	return a.listStreams(ctx, c)
}

// setClasses keeps the layout classes of streams of a Connection. Who has left meanwhile needs
// none.
func (a *API) setClasses(ctx context.Context, connection *v1alpha1.Connection, classes map[string][]string) error {
	err := retry.RetryOnConflict(objects.ConflictBackoff, func() error {
		var current v1alpha1.Connection
		if err := a.objects.Live.Get(ctx, client.ObjectKeyFromObject(connection), &current); err != nil {
			return err
		}
		before := current.DeepCopy()
		metav1.SetMetaDataAnnotation(&current.ObjectMeta, layoutAnnotation, readLayout(&current).with(&current, classes).text())
		return a.objects.Live.Patch(ctx, &current, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
	switch {
	case apierrors.IsConflict(err):
		return errChanging
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("annotating Connection %s: %w", connection.Name, err)
	}
	return nil
}
