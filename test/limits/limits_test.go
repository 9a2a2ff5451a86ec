// Package limits is the authority on whether docs/limits.md has each limit of the code.
package limits

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository's folder.
var root = filepath.Join("..", "..")

// folders have the code that takes input from outside.
var folders = []string{
	"mediapod", "gateway", "internal", "controllers/fleet", "controllers/webhook", "controllers/eventlog", "recorder",
}

var (
	// limitName is what a constant is named that bounds something.
	limitName = regexp.MustCompile(`^(max|Max)([A-Z]|$)|` +
		`(PerSecond|AtOnce|Timeout|Deadline|Budget|Patience|Bytes|Packets|Queue|Idle|Stall|Wait|Bound)$`)
	// row is one of the document: constant, value, scope, and what happens.
	row = regexp.MustCompile("(?m)^\\| `(\\w+\\.\\w+)` \\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|$")
)

// noLimits are constants with the name of a limit that bound no input from outside, and why.
var noLimits = map[string]string{
	"mediapod.stopTimeout":          "bounds the end of the pod itself",
	"mediapod.reportTimeout":        "bounds the end of the pod itself",
	"peer.closeDeadline":            "bounds the pod's own work when it closes a connection",
	"transport.batchPackets":        "is the size of a batch; more packets take more system calls",
	"transport.maxPayload":          "is about packets that the pod sends",
	"transport.maxPacket":           "is about packets that the pod sends",
	"transport.maxRun":              "is about packets that the pod sends",
	"transport.maxPadding":          "is about packets that the pod sends",
	"transport.sealBytes":           "is a size from the standard",
	"transport.recordHeaderBytes":   "is a size from the standard",
	"transport.rtpHeaderBytes":      "is a size from the standard",
	"transport.stunHeaderBytes":     "is a size from the standard",
	"transport.frameHeaderBytes":    "is a size from the standard",
	"transport.maxIndex":            "is the end of a number space of SRTP",
	"transport.maxControlIndex":     "is the end of a number space of SRTP",
	"transport.MaxRank":             "is the highest priority of the pod's own candidates",
	"transport.MaxMargin":           "bounds a jump of the pod's own indices",
	"control.secretBytes":           "is the size of the operator's own secrets",
	"lease.Stall":                   "is about the media pod's own delays",
	"lease.Patience":                "is a time of the lease between two pods",
	"openvidu.joinPartBytes":        "is the size of a part of the pod's own answers",
	"bandwidth.maxPause":            "is a time between the pod's own probes",
	"bandwidth.probeQueue":          "is a delay that ends the pod's own probes",
	"rewrite.maxSkips":              "bounds what is remembered of the pod's own decisions",
	"sfu.MaxBurst":                  "is the size of a batch; more packets are more batches",
	"sfu.HeaderBytes":               "is about packets that the pod sends",
	"sfu.transportExtensionBytes":   "is about packets that the pod sends",
	"sfu.showPackets":               "is about packets that the pod sends",
	"sfu.probePackets":              "is about packets that the pod sends",
	"sfu.maxProbeTime":              "is about packets that the pod sends",
	"sfu.maxOwed":                   "is about packets that the pod sends",
	"opentokid.randomBytes":         "is about session ids that the gateway makes",
	"opentokid.archivedRandomBytes": "is about session ids that the gateway makes",
	"gateway.stopTimeout":           "bounds the end of the gateway itself",
	"objects.withdrawTimeout":       "bounds the gateway's own clearing up",
	"objects.maxName":               "is the length of names that the gateway makes",
	"route.actionWait":              "is a kind of action",
	"levels.maxSlots":               "is how many parts of a minute touch it",
	"tap.batchBytes":                "is the size of a part of what the pod sends",
	"tap.entryBytes":                "is about what the pod's own records take",
	"matroska.cuesBytes":            "is the size of a part of the recorder's own files",
	"matroska.cueBytes":             "is about the recorder's own files",
	"matroska.maxClusterTime":       "is about the recorder's own files",
	"compose.killWait":              "bounds the end of the recorder's own processes",
	"recorder.stopWait":             "bounds the end of the recorder's own taps",
	"recorder.stopTimeout":          "bounds the end of the recorder itself",
	"webhook.maxIdle":               "is how many connections the operator itself keeps",
}

// TestEachLimitHasARow fails for a limit that the document lacks or has with another value.
func TestEachLimitHasARow(t *testing.T) {
	values, rows := constants(t), documented(t)
	limits := 0
	for name, value := range values {
		if !limitName.MatchString(name[strings.Index(name, ".")+1:]) || noLimits[name] != "" {
			continue
		}
		limits++
		if _, found := rows[name]; !found {
			t.Errorf("docs/limits.md has no row for %s = %s", name, value)
		}
	}
	if limits < 100 {
		t.Errorf("found %d limits, want at least 100: does the pattern still find them?", limits)
	}
}

// TestEachRowIsALimit fails for a row whose constant does not exist or has another value.
func TestEachRowIsALimit(t *testing.T) {
	values := constants(t)
	for name, value := range documented(t) {
		switch got, found := values[name]; {
		case !found:
			t.Errorf("docs/limits.md has %s, which is no constant", name)
		case got != value:
			t.Errorf("docs/limits.md says %s = %s, the code %s", name, value, got)
		case noLimits[name] != "":
			t.Errorf("docs/limits.md has %s, which %s", name, noLimits[name])
		}
	}
	for name := range noLimits {
		if _, found := values[name]; !found {
			t.Errorf("noLimits has %s, which is no constant", name)
		}
	}
}

// documented returns the rows of the document: value by constant.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	found := row.FindAllStringSubmatch(string(text), -1)
	for _, m := range found {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("docs/limits.md has two rows for %s", m[1])
		}
		rows[m[1]] = m[2]
	}
	if lines := strings.Count(string(text), "\n| `"); lines != len(found) {
		t.Errorf("docs/limits.md has %d rows, of which %d are whole", lines, len(found))
	}
	return rows
}

// constants returns the constants of production code at package level: expression by name.
func constants(t *testing.T) map[string]string {
	t.Helper()
	values, homes := make(map[string]string), make(map[string]string)
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			fileSet := token.NewFileSet()
			file, err := parser.ParseFile(fileSet, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil || ast.IsGenerated(file) {
				return err
			}
			for name, value := range declared(t, fileSet, file) {
				if home := homes[name]; home != "" && limitName.MatchString(name[strings.Index(name, ".")+1:]) {
					t.Errorf("%s is in %s and in %s", name, home, path)
				}
				values[name], homes[name] = value, path
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// declared returns the constants of a file.
func declared(t *testing.T, fileSet *token.FileSet, file *ast.File) map[string]string {
	t.Helper()
	values := make(map[string]string)
	for _, declaration := range file.Decls {
		group, is := declaration.(*ast.GenDecl)
		if !is || group.Tok != token.CONST {
			continue
		}
		for _, each := range group.Specs {
			spec := each.(*ast.ValueSpec)
			for i, name := range spec.Names {
				var value bytes.Buffer
				if i < len(spec.Values) {
					if err := printer.Fprint(&value, fileSet, spec.Values[i]); err != nil {
						t.Fatal(err)
					}
				}
				values[file.Name.Name+"."+name.Name] = value.String()
			}
		}
	}
	return values
}
