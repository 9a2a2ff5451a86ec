package v1alpha1_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"mediarooms.dev/mediarooms/api/v1alpha1"
)

// get asks the API server for a path in a format.
func get(t *testing.T, path, accept string, into any) {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(apiConfig)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(apiConfig.Host, "/")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", path, response.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("reading the answer to GET %s: %v", path, err)
	}
}

// ready is a list of conditions as the operator writes it.
func ready(reason string) []any {
	return []any{map[string]any{
		"type": "Ready", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
	}}
}

// TestPrinterColumns compares what kubectl get shows, in its order; -o wide also shows what is in
// brackets.
func TestPrinterColumns(t *testing.T) {
	for name, test := range map[string]struct {
		base   string
		path   string
		status map[string]any
		want   string
		cells  string
	}{
		"Session": {
			base: minimalSession, path: "namespaces/default/sessions",
			status: map[string]any{
				"conditions": ready("Ready"), "podName": "pod", "activeConnections": int64(2), "poolName": "default",
				"nodeName": "node", "standbyPodName": "other", "sessionID": "Room",
				"serviceLevels": map[string]any{"joins": int64(7), "worstLossPercent": int64(5), "sinceTime": "2026-01-01T00:00:00Z"},
			},
			want:  "Name Ready Reason Pod Standby Protected Active Age [Pool] [Node] [Joined] [Loss] [SessionID]",
			cells: "demo True Ready pod other <nil> 2 AGE default node 7 5 Room",
		},
		"Connection": {
			base: minimalConnection, path: "namespaces/default/connections",
			status: map[string]any{"conditions": ready("Active"), "state": "Active", "ip": "192.0.2.7"},
			want:   "Name Session Role State [User IP] Ready Age",
			cells:  "guest-1 demo Publisher Active 192.0.2.7 True AGE",
		},
		"MediaPool": {
			base: minimalMediaPool, path: "mediapools",
			status: map[string]any{"conditions": ready("Ready"), "pods": int64(3), "readyPods": int64(2), "sessions": int64(4), "freeSessions": int64(46)},
			want:   "Name Ready Reason Pods Sessions Free Age [Exposure] [URL]",
			cells:  "default True Ready 2 4 46 AGE HostPort http://localhost:4443",
		},
		"Recording": {
			base: minimalRecording, path: "namespaces/default/recordings",
			status: map[string]any{
				"conditions": ready("Ready"), "state": "Stopped", "durationSeconds": int64(61), "size": "3.4Mi", "reason": "automaticStop", "recordingID": "Room~1",
			},
			want:  "Name Session State Reason Duration Size Age [Ended] [RecordingID]",
			cells: "monday demo Stopped Ready 61 3.4Mi AGE automaticStop Room~1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stored := object(t, test.base, nil)
			create(t.Context(), t, stored)
			if err := unstructured.SetNestedField(stored.Object, test.status, "status"); err != nil {
				t.Fatal(err)
			}
			if err := apiClient.Status().Update(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			table := metav1.Table{}
			get(t, "/apis/mediarooms.dev/v1alpha1/"+test.path, "application/json;as=Table;v=v1;g=meta.k8s.io", &table)
			var columns, cells []string
			for i, column := range table.ColumnDefinitions {
				title := column.Name
				if column.Priority > 0 {
					title = "[" + title + "]"
				}
				columns = append(columns, title)
				if column.Description == "" {
					t.Errorf("column %s is not described", column.Name)
				}
				if len(table.Rows) != 1 {
					t.Fatalf("%d rows, want 1", len(table.Rows))
				}
				cell := fmt.Sprint(table.Rows[0].Cells[i])
				if column.Name == "Age" {
					cell = "AGE"
				}
				cells = append(cells, cell)
			}
			if got := strings.Join(columns, " "); got != test.want {
				t.Errorf("columns are\n%s\nwant\n%s", got, test.want)
			}
			if got := strings.Join(cells, " "); got != test.cells {
				t.Errorf("cells are\n%s\nwant\n%s", got, test.cells)
			}
		})
	}
}

// TestSelectableFields lists objects by each field that may be selected.
func TestSelectableFields(t *testing.T) {
	session := object(t, minimalSession, change{"spec.poolName": "gold"})
	connection := object(t, minimalConnection, nil)
	status := map[string]map[string]any{
		"Session":    {"podName": "pod", "sessionID": "Room"},
		"Connection": {"state": "Active", "connectionID": "con_A"},
		"Recording":  {"recordingID": "Room"},
	}
	for _, stored := range []*unstructured.Unstructured{session, connection, object(t, minimalRecording, nil)} {
		create(t.Context(), t, stored)
		if err := unstructured.SetNestedField(stored.Object, status[stored.GetKind()], "status"); err != nil {
			t.Fatal(err)
		}
		if err := apiClient.Status().Update(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
	}
	for name, selectors := range map[string]client.MatchingFields{
		"Session": {
			v1alpha1.PoolNameField: "gold", v1alpha1.PodNameField: "pod", v1alpha1.SessionIDField: "Room",
		},
		"Connection": {
			v1alpha1.SessionNameField: "demo", v1alpha1.ConnectionIDField: "con_A", v1alpha1.StateField: "Active",
		},
		"Recording": {v1alpha1.SessionNameField: "demo", v1alpha1.RecordingIDField: "Room"},
	} {
		var declared []string
		for _, field := range readCRD(t, name).Spec.Versions[0].SelectableFields {
			declared = append(declared, strings.TrimPrefix(field.JSONPath, "."))
		}
		for _, field := range declared {
			if _, ok := selectors[field]; !ok {
				t.Errorf("%s: %s is not tried", name, field)
			}
		}
		for field, value := range selectors {
			for value, want := range map[string]int{value: 1, "other": 0} {
				list := &unstructured.UnstructuredList{}
				list.SetAPIVersion(v1alpha1.GroupVersion.String())
				list.SetKind(name + "List")
				if err := apiClient.List(t.Context(), list, client.MatchingFields{field: value}); err != nil {
					t.Errorf("%s: listing by %s: %v", name, field, err)
				} else if len(list.Items) != want {
					t.Errorf("%s: %d objects have %s %q, want %d", name, len(list.Items), field, value, want)
				}
			}
		}
	}
}

// TestNames compares how kubectl finds the kinds.
func TestNames(t *testing.T) {
	resources := metav1.APIResourceList{}
	get(t, "/apis/mediarooms.dev/v1alpha1", "application/json", &resources)
	var got []string
	for _, r := range resources.APIResources {
		got = append(got, fmt.Sprintf("%s %s %v %v %t", r.Name, r.SingularName, r.ShortNames, r.Categories, r.Namespaced))
	}
	slices.Sort(got)
	want := []string{
		"connections connection [mrconn] [mediarooms] true", "connections/status  [] [] true",
		"mediapools mediapool [mrpool] [mediarooms] false", "mediapools/status  [] [] false",
		"recordings recording [rec] [mediarooms] true", "recordings/status  [] [] true",
		"sessions session [mrsess] [mediarooms] true", "sessions/status  [] [] true",
		"webhooks webhook [mrhook] [mediarooms] true", "webhooks/status  [] [] true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("resources are\n%q\nwant\n%q", got, want)
	}
}

// TestStatusIsItsOwn fails when a write of the object changes its status, a write of the status
// changes the spec, or either moves the generation wrongly.
func TestStatusIsItsOwn(t *testing.T) {
	stored := object(t, minimalSession, change{"status": map[string]any{"podName": "mine"}})
	create(t.Context(), t, stored)
	if pod, _, _ := unstructured.NestedString(stored.Object, "status", "podName"); pod != "" {
		t.Errorf("the user has set status.podName to %q", pod)
	}
	apply(t, stored, change{"spec.whenEmpty": "Delete", "status.podName": "pod"})
	if err := apiClient.Status().Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if value, _, _ := unstructured.NestedString(stored.Object, "spec", "whenEmpty"); value != "Keep" || stored.GetGeneration() != 1 {
		t.Errorf("a write of the status has changed the spec: whenEmpty %s, generation %d", value, stored.GetGeneration())
	}
	apply(t, stored, change{"spec.whenEmpty": "Delete", "status.podName": "mine"})
	if err := apiClient.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if pod, _, _ := unstructured.NestedString(stored.Object, "status", "podName"); pod != "pod" || stored.GetGeneration() != 2 {
		t.Errorf("after a write of the spec status.podName is %q, generation %d", pod, stored.GetGeneration())
	}
}

// TestStatusLists fails when a condition or a stream may be there twice.
func TestStatusLists(t *testing.T) {
	stored := object(t, minimalConnection, nil)
	create(t.Context(), t, stored)
	for path, items := range map[string][]any{
		"status.conditions":  append(ready("Ready"), ready("Active")...),
		"status.publishers":  {stream("str_1"), stream("str_1")},
		"status.subscribers": {map[string]any{"streamID": "str_1"}, map[string]any{"streamID": "str_1"}},
	} {
		changed := stored.DeepCopy()
		apply(t, changed, change{path: items})
		err := apiClient.Status().Update(t.Context(), changed, client.DryRunAll)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), path+"[1]: Duplicate value") {
			t.Errorf("two equal items of %s: %v", path, err)
		}
	}
	apply(t, stored, change{"status.state": "Gone"})
	err := apiClient.Status().Update(t.Context(), stored, client.DryRunAll)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), `status.state: Unsupported value: "Gone"`) {
		t.Errorf("an unknown state: %v", err)
	}
}

func stream(id string) map[string]any {
	return map[string]any{"streamID": id, "hasAudio": true, "hasVideo": false, "audioActive": true, "videoActive": false}
}
