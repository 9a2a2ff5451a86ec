package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mediarooms.dev/mediarooms/test/conformance"
)

// test is a test function.
type test struct {
	// file is its name without folder.
	file string
	// name of the function.
	name string
}

// readTests returns the tests of a folder by the id of the item that they cover, each sorted by file and place.
func readTests(folder string) (map[string][]test, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	tests := map[string][]test{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("reading tests: %w", err)
		}
		for _, declaration := range parsed.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(function.Name.Name, "Test") {
				continue
			}
			ids, err := covered(function)
			if err != nil {
				return nil, fmt.Errorf("reading %s of %s: %w", function.Name.Name, filepath.Base(file), err)
			}
			for _, id := range ids {
				tests[id] = append(tests[id], test{file: filepath.Base(file), name: function.Name.Name})
			}
		}
	}
	return tests, nil
}

// covered returns the ids that a test function says it covers, each once. They must be literals, so that a reader sees them.
func covered(function *ast.FuncDecl) ([]string, error) {
	var ids []string
	var wrong error
	ast.Inspect(function, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "covers" || len(call.Args) < 2 {
			return true
		}
		for _, argument := range call.Args[1:] {
			literal, ok := argument.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				wrong = errors.New("an argument of covers is no literal text")
				return false
			}
			id, err := strconv.Unquote(literal.Value)
			if err == nil {
				err = conformance.Check(id)
			}
			if err != nil {
				wrong = err
				return false
			}
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return true
	})
	return ids, wrong
}
