package conformance

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What this server says is bounded by its sources: these tests read them, since no number of calls
// could show that something is never said.

// sentCodes are the error codes of section 6 that the media pod sends.
var sentCodes = []int{-1, 102, 104, 105, 106, 202, 203, 204, 302, 303, 304, 306, 401, 500, 600, 601, 800, 803, 997, 999, 40007}

// jsonrpcCodes are those of JSON-RPC 2.0 itself, for what the reference does not answer.
var jsonrpcCodes = []int{-32700, -32602, -32601, -32600}

// sentNotifications are the notifications of section 3 that the media pod sends.
var sentNotifications = []string{
	"connectionPropertyChanged", "forciblyReconnectSubscriber", "iceCandidate", "networkQualityLevelChanged", "participantEvicted", "participantJoined",
	"participantLeft", "participantPublished", "participantUnpublished", "recordingStarted", "recordingStopped", "sendMessage",
	"streamPropertyChanged",
}

// podSources parses the sources of what the media pod says to clients.
func podSources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := sources(t, "mediapod/jsonrpc", "mediapod/openvidu", "mediapod/room")
	if len(files) < 10 {
		t.Fatalf("only %d sources were found", len(files))
	}
	return files
}

// sources parses what is in folders of the repository, but for tests.
func sources(t *testing.T, folders ...string) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	for _, folder := range folders {
		root := filepath.Join("..", "..", filepath.FromSlash(folder))
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// constants returns the values of the constants whose name matches, sorted.
func constants(files map[string]*ast.File, name *regexp.Regexp) []string {
	var values []string
	for _, file := range files {
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, ident := range spec.Names {
				if name.MatchString(ident.Name) && i < len(spec.Values) {
					values = append(values, literal(spec.Values[i]))
				}
			}
			return true
		})
	}
	slices.Sort(values)
	return values
}

// literal is the text of a literal, with its sign and without quotes; "" for anything else.
func literal(node ast.Expr) string {
	switch v := node.(type) {
	case *ast.UnaryExpr:
		return v.Op.String() + literal(v.X)
	case *ast.BasicLit:
		if text, err := strconv.Unquote(v.Value); err == nil {
			return text
		}
		return v.Value
	}
	return ""
}

func TestOnlyTheseErrorCodesAreSent(t *testing.T) {
	covers(t, "6-998", "6-996", "6-902", "6-901", "6-900", "6-802", "6-801", "6-711", "6-710", "6-709", "6-708", "6-707", "6-706", "6-705", "6-704",
		"6-703", "6-702", "6-701", "6-408", "6-407", "6-406", "6-405", "6-404", "6-403", "6-402", "6-309", "6-308", "6-307", "6-305", "6-301", "6-201",
		"6-103", "6-10")
	var want []string
	for _, code := range slices.Concat(sentCodes, jsonrpcCodes) {
		want = append(want, strconv.Itoa(code))
	}
	slices.Sort(want)
	if got := slices.Compact(constants(podSources(t), regexp.MustCompile(`^[cC]ode[A-Z]`))); !slices.Equal(got, want) {
		t.Errorf("the codes of the media pod are %v, want %v", got, want)
	}
	// A refusal is made with one of the constants, never with a number.
	for path, file := range podSources(t) {
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name, ok := call.Fun.(*ast.Ident)
			if ok && (name.Name == "refuse" || name.Name == "bare") && literal(call.Args[0]) != "" {
				t.Errorf("%s refuses with the number %s", path, literal(call.Args[0]))
			}
			return true
		})
	}
}

func TestOnlyTheseNotificationsAreSent(t *testing.T) {
	covers(t, "1.10-absent", "3.7-filter", "3.8-iceCandidate", "3.9-absent", "3.12-broadcastStarted",
		"3.12-broadcastStopped", "3.13-absent", "3.14-speechToTextMessage", "3.14-speechToTextDisconnected", "3.14-masterNodeCrashedNotification",
		"5.4-mediaServerReconnect", "8.3-absent", "8.4-absent")
	var got []string
	for _, file := range podSources(t) {
		ast.Inspect(file, func(node ast.Node) bool {
			assignment, ok := node.(*ast.AssignStmt)
			if !ok {
				return true
			}
			for i, left := range assignment.Lhs {
				field, ok := left.(*ast.SelectorExpr)
				if ok && field.Sel.Name == "Method" && i < len(assignment.Rhs) {
					if text := literal(assignment.Rhs[i]); text != "" {
						got = append(got, text)
					}
				}
			}
			return true
		})
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, sentNotifications) {
		t.Errorf("the notifications of the media pod are %v, want %v", got, sentNotifications)
	}
}

func TestOnlyTheseReasonsAreSent(t *testing.T) {
	covers(t, "5.1-mediaServerDisconnect", "5.1-empty", "5.2-mediaServerReconnect", "5.5-applyFilter", "5.5-execFilterMethod", "5.5-removeFilter", "5.6-absent")
	want := []string{
		"disconnect", "forceDisconnectByServer", "forceDisconnectByUser", "forceUnpublishByServer", "forceUnpublishByUser", "networkDisconnect",
		"recordingStoppedByServer", "sessionClosedByServer", "unpublish", "unsubscribe", // the last one to events only
	}
	var names []string // of package reasons that the media pod uses
	for path, file := range sources(t, "mediapod") {
		if strings.Contains(path, "/opentok/") {
			continue // another protocol, which knows causes
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if used, ok := node.(*ast.SelectorExpr); ok {
				if from, ok := used.X.(*ast.Ident); ok && from.Name == "reasons" {
					names = append(names, used.Sel.Name)
				}
			}
			return true
		})
	}
	name := regexp.MustCompile("^(" + strings.Join(names, "|") + ")$")
	if got := constants(sources(t, "internal/reasons"), name); !slices.Equal(got, want) {
		t.Errorf("the reasons of the media pod are %v, want %v", got, want)
	}
}
