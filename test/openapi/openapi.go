// Package openapi is the authority on whether an answer of the REST API is one that its description
// promises: a described status code of a described endpoint, with the described headers and a body
// that the described schema takes, no key more and no key less; and nothing is done for a request
// whose body the description does not allow.
package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	description "mediarooms.dev/mediarooms/gateway/rest/openapi"
)

// resource is what the document is called in references.
const resource = "openapi.json"

// Answer is what the server said.
type Answer struct {
	// Method and Path of the request, by the names of today.
	Method, Path string
	// Request is the request's body.
	Request []byte
	Status  int
	Header  http.Header
	Body    []byte
}

// Endpoint is a described method of a described path.
type Endpoint struct {
	// Method is in capitals.
	Method string
	// Path has a name in braces where any one segment may be.
	Path string
	// Public says that it needs no credentials.
	Public bool
}

// Document is a description of an API. It is safe for concurrent use.
type Document struct {
	root map[string]any

	mu       sync.Mutex // guards compiler
	compiler *jsonschema.Compiler
}

// Served is the description that the gateway serves.
func Served() *Document { return served() }

var served = sync.OnceValue(func() *Document {
	document, err := Parse(description.Document())
	if err != nil {
		panic(err) // a test of this package says so, too
	}
	return document
})

// Parse reads an OpenAPI 3.1 document. Whether it is a valid one, it does not say.
func Parse(text string) (*Document, error) {
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parsing an OpenAPI document: %w", err)
	}
	root, ok := parsed.(map[string]any)
	if !ok {
		return nil, errors.New("parsing an OpenAPI document: it is no object")
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource(resource, parsed); err != nil {
		return nil, fmt.Errorf("parsing an OpenAPI document: %w", err)
	}
	return &Document{root: root, compiler: compiler}, nil
}

// methods of paths, as the document writes them.
var methods = []string{"get", "post", "put", "patch", "delete", "head", "options"}

// Endpoints returns all that is described, by path and method.
func (d *Document) Endpoints() []Endpoint {
	var endpoints []Endpoint
	for path, item := range d.members("paths") {
		for method, operation := range object(item) {
			if slices.Contains(methods, method) {
				needed, given := object(operation)["security"].([]any)
				endpoints = append(endpoints, Endpoint{Method: strings.ToUpper(method), Path: path, Public: given && len(needed) == 0})
			}
		}
	}
	slices.SortFunc(endpoints, func(a, b Endpoint) int { return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method) })
	return endpoints
}

// Check gives an error for an answer that the document does not promise.
func (d *Document) Check(answer Answer) error {
	if err := d.check(answer); err != nil {
		return fmt.Errorf("%s %s was answered with %d %.300s: %w", answer.Method, answer.Path, answer.Status, answer.Body, err)
	}
	return nil
}

func (d *Document) check(answer Answer) error {
	if answer.Method == http.MethodOptions && answer.Status == http.StatusOK && len(answer.Body) == 0 {
		return nil // a preflight
	}
	method := answer.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	endpoint, found := d.find(method, answer.Path)
	if !found {
		unknown := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
		if !slices.Contains(unknown, answer.Status) || len(answer.Body) > 0 {
			return errors.New("the endpoint is not described")
		}
		return nil
	}
	where := []string{"paths", endpoint.Path, strings.ToLower(method), "responses", fmt.Sprint(answer.Status)}
	response, where := d.resolve(where)
	if response == nil {
		return errors.New("the status is not described")
	}
	for name, header := range object(response["headers"]) {
		value := answer.Header.Get(name)
		if value == "" && object(header)["required"] == true {
			return fmt.Errorf("there is no header %s", name)
		}
		if err := d.validate(value, append(slices.Clone(where), "headers", name, "schema")...); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	if err := d.checkRequest(answer, endpoint); err != nil {
		return err
	}
	return d.checkBody(answer, object(response["content"]), where)
}

// checkRequest gives an error for a request that was served although its body is not described.
// Those that are refused may be anything.
func (d *Document) checkRequest(answer Answer, endpoint Endpoint) error {
	if answer.Status >= http.StatusBadRequest {
		return nil
	}
	place := []string{"paths", endpoint.Path, strings.ToLower(endpoint.Method), "requestBody"}
	body := d.members(place...)
	switch {
	case len(answer.Request) == 0 && body["required"] == true:
		return errors.New("a request without a body was served")
	case len(answer.Request) == 0:
		return nil
	case body == nil:
		return errors.New("no body of a request is described")
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer.Request))
	if err == nil {
		err = d.validate(value, append(place, "content", "application/json", "schema")...)
	}
	if err != nil {
		return fmt.Errorf("the request %.300s: %w", answer.Request, err)
	}
	return nil
}

func (d *Document) checkBody(answer Answer, content map[string]any, where []string) error {
	switch {
	case len(answer.Body) == 0 && (len(content) == 0 || answer.Status >= http.StatusBadRequest || answer.Method == http.MethodHead):
		return nil
	case len(answer.Body) == 0:
		return errors.New("the body is missing")
	case len(content) == 0:
		return errors.New("no body is described")
	}
	kind := answer.Header.Get("Content-Type")
	if content[kind] == nil {
		return fmt.Errorf("the type %q is not described", kind)
	}
	var value any = string(answer.Body)
	if kind == "application/json" {
		var err error
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(answer.Body)); err != nil {
			return err
		}
	}
	return d.validate(value, append(slices.Clone(where), "content", kind, "schema")...)
}

// find returns the endpoint for a request. A path without names goes before one that has some.
func (d *Document) find(method, path string) (Endpoint, bool) {
	var found Endpoint
	for _, endpoint := range d.Endpoints() {
		if endpoint.Method != method || !matches(endpoint.Path, path) {
			continue
		}
		if found.Path == "" || !strings.Contains(endpoint.Path, "{") {
			found = endpoint
		}
	}
	return found, found.Path != ""
}

func matches(pattern, path string) bool {
	wanted, given := strings.Split(pattern, "/"), strings.Split(path, "/")
	if len(wanted) != len(given) {
		return false
	}
	for i := range wanted {
		if wanted[i] != given[i] && (!strings.HasPrefix(wanted[i], "{") || given[i] == "") {
			return false
		}
	}
	return true
}

// members returns what is at a place of the document; nil when it is no object.
func (d *Document) members(place ...string) map[string]any {
	here := d.root
	for _, key := range place {
		here = object(here[key])
	}
	return here
}

// resolve returns what is at a place, or where a $ref there leads, and that place.
func (d *Document) resolve(place []string) (found map[string]any, at []string) {
	found = d.members(place...)
	if reference, ok := found["$ref"].(string); ok {
		at = strings.Split(strings.TrimPrefix(reference, "#/"), "/")
		return d.members(at...), at
	}
	return found, place
}

// validate checks a value by the schema at a place.
func (d *Document) validate(value any, place ...string) error {
	schema, err := d.schema(place...)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// pointers writes a key as a part of a JSON pointer in a URL (RFC 6901 6).
var pointers = strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", "{", "%7B", "}", "%7D", ";", "%3B")

// schema returns the schema at a place.
func (d *Document) schema(place ...string) (*jsonschema.Schema, error) {
	location := resource + "#"
	for _, key := range place {
		location += "/" + pointers.Replace(key)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile(location)
	if err != nil {
		return nil, fmt.Errorf("reading the schema %s: %w", location, err)
	}
	return schema, nil
}

func object(value any) map[string]any {
	members, _ := value.(map[string]any)
	return members
}
