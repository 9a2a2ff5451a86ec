// Package coverage is the authority on which tests say that they show which item of a list: it
// reads the calls with which they say so out of their sources, and names them in a page.
package coverage

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Test is a test function.
type Test struct {
	// File is its path from the checkout's folder, with slashes.
	File string
	// Name of the function.
	Name string
}

// List says which calls count, and which ids there are.
type List struct {
	// Function is the name of the function that tests call with their testing.T and ids. Those are
	// literals, so that a reader sees them.
	Function string
	// Check gives an error for the first of the ids that is no item's.
	Check func(ids ...string) error
}

// Read returns the tests of some folders of a checkout by the id of the item that they show, each
// sorted by file and place. A folder that is not there has no tests.
func (l List) Read(root string, folders ...string) (map[string][]Test, error) {
	tests := map[string][]Test{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*_test.go"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, file := range files {
			if err := l.readFile(file, path.Join(folder, filepath.Base(file)), tests); err != nil {
				return nil, err
			}
		}
	}
	return tests, nil
}

// readFile adds the tests of a file, which is called name in the result.
func (l List) readFile(file, name string, tests map[string][]Test) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("reading tests: %w", err)
	}
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(function.Name.Name, "Test") {
			continue
		}
		ids, err := l.shown(function)
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", function.Name.Name, name, err)
		}
		for _, id := range ids {
			tests[id] = append(tests[id], Test{File: name, Name: function.Name.Name})
		}
	}
	return nil
}

// shown returns the ids that a test function says it shows, each once.
func (l List) shown(function *ast.FuncDecl) ([]string, error) {
	var ids []string
	var wrong error
	ast.Inspect(function, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || !l.isCall(call) {
			return true
		}
		for _, argument := range call.Args[1:] {
			id, err := literal(argument)
			if err == nil {
				err = l.Check(id)
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

// isCall says whether something is called by the function's name, of this package or another.
func (l List) isCall(call *ast.CallExpr) bool {
	if len(call.Args) < 2 {
		return false
	}
	switch called := call.Fun.(type) {
	case *ast.Ident:
		return called.Name == l.Function
	case *ast.SelectorExpr:
		return called.Sel.Name == l.Function
	default:
		return false
	}
}

// literal returns the text of a literal, or the digits of a number.
func literal(argument ast.Expr) (string, error) {
	written, ok := argument.(*ast.BasicLit)
	switch {
	case ok && written.Kind == token.STRING:
		return strconv.Unquote(written.Value)
	case ok && written.Kind == token.INT:
		return written.Value, nil
	default:
		return "", errors.New("an item is named by something else than a literal")
	}
}

// Root is the checkout's folder.
func Root() string {
	_, source, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(source)))
}

// Links names tests, with links to their files, for a cell of a table of a page in docs.
func Links(tests []Test) string {
	names := make([]string, 0, len(tests))
	for _, t := range tests {
		names = append(names, fmt.Sprintf("[%s](../%s)", t.Name, t.File))
	}
	return strings.Join(names, "<br>")
}

// Cell is a text as a cell of a table.
func Cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
