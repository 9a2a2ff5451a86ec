package openapi

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	description "mediarooms.dev/mediarooms/gateway/rest/openapi"
)

// The schema is the OpenAPI Initiative's for documents of version 3.1, of 2022-10-07.
func TestTheServedDocumentIsOpenAPI(t *testing.T) {
	file, err := os.Open(filepath.Join("testdata", "openapi-3.1.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rules, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("rules.json", rules); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("rules.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(description.Document()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
}

func TestEverySchemaAndReferenceOfTheServedDocumentIsGood(t *testing.T) {
	d := Served()
	for name := range d.members("components", "schemas") {
		if _, err := d.schema("components", "schemas", name); err != nil {
			t.Error(err)
		}
		if !strings.Contains(description.Document(), `"#/components/schemas/`+name+`"`) {
			t.Errorf("nothing refers to the schema %s", name)
		}
	}
	for _, endpoint := range d.Endpoints() {
		responses := d.members("paths", endpoint.Path, strings.ToLower(endpoint.Method), "responses")
		if len(responses) == 0 {
			t.Errorf("%s %s has no responses", endpoint.Method, endpoint.Path)
		}
		for status := range responses {
			response, at := d.resolve([]string{"paths", endpoint.Path, strings.ToLower(endpoint.Method), "responses", status})
			if response["description"] == nil {
				t.Errorf("%s %s: the response %s leads nowhere", endpoint.Method, endpoint.Path, status)
			}
			for kind := range object(response["content"]) {
				if _, err := d.schema(append(at, "content", kind, "schema")...); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// small is a description with one of everything.
const small = `{"openapi":"3.1.0","paths":{
	"/a":{"get":{"security":[],"responses":{"200":{"content":{"application/json":{"schema":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"],
		"additionalProperties":false}}}},"404":{"$ref":"#/components/responses/Problem"},
		"401":{"description":"x","headers":{"WWW-Authenticate":{"required":true,"schema":{"const":"Basic"}}}}}}},
	"/b":{"post":{"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object","required":["y"]}}}},"responses":{"204":{},"400":{}}}},
	"/a/{id}":{"delete":{"responses":{"204":{"description":"x"}}},"get":{"responses":{"200":{"content":{"text/plain":{"schema":{"const":"x"}}}}}}},
	"/a/b":{"get":{"responses":{"200":{"content":{"text/plain":{"schema":{"const":"y"}}}}}}}},
	"components":{"responses":{"Problem":{"content":{"application/json":{"schema":{"type":"array"}}}}}}}`

func TestAnswersAreChecked(t *testing.T) {
	d, err := Parse(small)
	if err != nil {
		t.Fatal(err)
	}
	const asJSON, asText = "application/json", "text/plain"
	for _, test := range []struct {
		name, method, path string
		status             int
		kind, challenge    string
		body               string
		good               bool
	}{
		{"as described", "GET", "/a", 200, asJSON, "", `{"x":1}`, true},
		{"without the body", "HEAD", "/a", 200, asJSON, "", "", true},
		{"a key too many", "GET", "/a", 200, asJSON, "", `{"x":1,"y":2}`, false},
		{"a key too few", "GET", "/a", 200, asJSON, "", `{}`, false},
		{"null for absent", "GET", "/a", 200, asJSON, "", `{"x":null}`, false},
		{"no body", "GET", "/a", 200, asJSON, "", "", false},
		{"no JSON", "GET", "/a", 200, asJSON, "", "{", false},
		{"another type", "GET", "/a", 200, asText, "", `{"x":1}`, false},
		{"another status", "GET", "/a", 201, asJSON, "", `{"x":1}`, false},
		{"an error", "GET", "/a", 404, asJSON, "", "[]", true},
		{"an error without the body", "GET", "/a", 404, "", "", "", true},
		{"an error of another kind", "GET", "/a", 404, asJSON, "", "{}", false},
		{"a challenge", "GET", "/a", 401, "", "Basic", "", true},
		{"another challenge", "GET", "/a", 401, "", "Digest", "", false},
		{"no challenge", "GET", "/a", 401, "", "", "", false},
		{"nothing", "DELETE", "/a/1", 204, "", "", "", true},
		{"something", "DELETE", "/a/1", 204, asJSON, "", "{}", false},
		{"a name", "GET", "/a/1", 200, asText, "", "x", true},
		{"not the name", "GET", "/a/b", 200, asText, "", "y", true},
		{"another text", "GET", "/a/1", 200, asText, "", "y", false},
		{"unknown and forbidden", "POST", "/a", 403, "", "", "", true},
		{"unknown and served", "POST", "/a", 200, asJSON, "", `{"x":1}`, false},
		{"another path", "GET", "/a/", 200, asText, "", "x", false},
		{"a preflight", "OPTIONS", "/a", 200, "", "", "", true},
	} {
		header := http.Header{}
		header.Set("Content-Type", test.kind)
		header.Set("WWW-Authenticate", test.challenge)
		err := d.Check(Answer{Method: test.method, Path: test.path, Status: test.status, Header: header, Body: []byte(test.body)})
		if (err == nil) != test.good {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
	var described []string
	for _, endpoint := range d.Endpoints() {
		described = append(described, endpoint.Method+" "+endpoint.Path)
		if endpoint.Public != (endpoint.Path == "/a") {
			t.Errorf("%v is public, or is not", endpoint)
		}
	}
	if got := strings.Join(described, ", "); got != "GET /a, GET /a/b, DELETE /a/{id}, GET /a/{id}, POST /b" {
		t.Errorf("got %s", got)
	}
}

func TestRequestsThatAreServedAreChecked(t *testing.T) {
	d, err := Parse(small)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path, request string
		status                int
		good                  bool
	}{
		{"POST", "/b", `{"y":1}`, 204, true},
		{"POST", "/b", `{"x":1}`, 204, false},
		{"POST", "/b", `{"x":1}`, 400, true},
		{"POST", "/b", `{`, 204, false},
		{"POST", "/b", "", 204, false},
		{"DELETE", "/a/1", "", 204, true},
		{"DELETE", "/a/1", "{}", 204, false},
	} {
		err := d.Check(Answer{Method: test.method, Path: test.path, Request: []byte(test.request), Status: test.status})
		if (err == nil) != test.good {
			t.Errorf("%+v: got %v", test, err)
		}
	}
}

func TestWhatIsNoDocumentIsRefused(t *testing.T) {
	for _, text := range []string{"", "{", "[]"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
