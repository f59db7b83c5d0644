package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// The most that each thing may have. A number is raised only with a reason
// beside it. Generated files are not measured; of test files only the length.
const (
	mostFileLines  = 400
	mostTestLines  = 600 // a test file: tables are long and easily read
	mostFuncLines  = 60  // from "func" to the closing brace; literals too
	mostMainLines  = 40  // func main
	mostParameters = 5   // without the receiver and a leading context.Context
	mostMethods    = 5   // of an interface, with those it embeds
)

func TestNothingGrowsTooLarge(t *testing.T) {
	for _, fault := range sizeFaults(house(t)) {
		t.Error(fault)
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, fault := range docFaults(house(t)) {
		t.Error(fault)
	}
}

// sizeFaults gives one line for each thing that is larger than it may be.
func sizeFaults(sources []source) []string {
	var faults []string
	interfaces := interfacesOf(sources)
	for _, s := range sources {
		most := mostFileLines
		if s.test() {
			most = mostTestLines
		}
		if ast.IsGenerated(s.file) {
			continue
		}
		if s.lines > most {
			faults = append(faults, fmt.Sprintf("%s: the file has %d lines, %d are the most: give its second idea a file of its own", s.path, s.lines, most))
		}
		if s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				faults = append(faults, funcFaults(s, n.Name.Name, n, n.Type, isMain(s, n))...)
			case *ast.FuncLit:
				faults = append(faults, funcFaults(s, "literal", n, n.Type, false)...)
			case *ast.InterfaceType:
				if has := methods(path.Dir(s.path), n, interfaces); has > mostMethods {
					faults = append(faults, fmt.Sprintf("%s: the interface has %d methods, %d are the most: ask for less", s.at(n.Pos()), has, mostMethods))
				}
			}
			return true
		})
	}
	return faults
}

func isMain(s source, f *ast.FuncDecl) bool {
	return f.Recv == nil && f.Name.Name == "main" && s.file.Name.Name == "main"
}

func funcFaults(s source, name string, whole ast.Node, f *ast.FuncType, main bool) []string {
	var faults []string
	most := mostFuncLines
	if main {
		most = mostMainLines
	}
	if has := lineOf(s, whole.End()) - lineOf(s, whole.Pos()) + 1; has > most {
		faults = append(faults, fmt.Sprintf("%s: func %s has %d lines, %d are the most: give a part of it a name", s.at(whole.Pos()), name, has, most))
	}
	if has := parameters(f); has > mostParameters {
		faults = append(faults, fmt.Sprintf("%s: func %s has %d parameters, %d are the most: what belongs together is a struct", s.at(whole.Pos()), name, has, mostParameters))
	}
	return faults
}

func lineOf(s source, pos token.Pos) int { return s.fset.Position(pos).Line }

// parameters counts without a leading context.Context.
func parameters(f *ast.FuncType) int {
	n := 0
	for i, field := range f.Params.List {
		names := max(1, len(field.Names))
		if i == 0 && isContext(field.Type) {
			names--
		}
		n += names
	}
	return n
}

func isContext(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "Context" {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "context"
}

// interfacesOf gives the named interfaces, by folder and name.
func interfacesOf(sources []source) map[string]*ast.InterfaceType {
	found := map[string]*ast.InterfaceType{}
	for _, s := range sources {
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok {
					found[path.Join(path.Dir(s.path), spec.Name.Name)] = i
				}
			}
			return true
		})
	}
	return found
}

// methods counts an interface's methods. An embedded interface of the same
// package counts with its own, one of another package counts as one.
func methods(dir string, i *ast.InterfaceType, interfaces map[string]*ast.InterfaceType) int {
	n := 0
	for _, field := range i.Methods.List {
		switch embedded := field.Type.(type) {
		case *ast.FuncType:
			n += len(field.Names)
		case *ast.Ident:
			if own := interfaces[path.Join(dir, embedded.Name)]; own != nil {
				n += methods(dir, own, interfaces)
			}
		case *ast.SelectorExpr:
			n++
		}
	}
	return n
}

// docFaults gives one line for each package without a doc comment that begins
// as Go's do: "Package NAME ...", or, for a command, with any sentence.
func docFaults(sources []source) []string {
	said := map[string]bool{}
	for _, s := range sources {
		if s.test() {
			continue
		}
		name, doc := s.file.Name.Name, s.file.Doc.Text()
		is := strings.HasPrefix(doc, "Package "+name+" ") || (name == "main" && doc != "")
		said[path.Dir(s.path)] = said[path.Dir(s.path)] || is
	}
	var faults []string
	for dir, ok := range said {
		if !ok {
			faults = append(faults, dir+": the package has no doc comment: begin one with \"Package NAME\" and tell all of it in the first sentence")
		}
	}
	slices.Sort(faults)
	return faults
}

func TestTooLargeThingsAreReported(t *testing.T) {
	body := func(lines int) string { return "{\n" + strings.Repeat("\n", lines-2) + "}\n" }
	tests := []struct{ path, text, want string }{
		{"probes/a.go", "package probes\n" + strings.Repeat("\n", mostFileLines-1), ""},
		{"probes/a.go", "package probes\n" + strings.Repeat("\n", mostFileLines), "the file has 401 lines"},
		{"probes/a_test.go", "package probes\n" + strings.Repeat("\n", mostTestLines-1), ""},
		{"probes/a_test.go", "package probes\n" + strings.Repeat("\n", mostTestLines), "the file has 601 lines"},
		{"probes/a.go", "// Code generated by x. DO NOT EDIT.\n\npackage probes\n" + strings.Repeat("\n", mostFileLines), ""},
		{"probes/a.go", "package probes\nfunc f() " + body(mostFuncLines), ""},
		{"probes/a.go", "package probes\nfunc f() " + body(mostFuncLines+1), "func f has 61 lines"},
		{"probes/a.go", "package probes\nvar f = func() " + body(mostFuncLines+1), "func literal has 61 lines"},
		{"probes/a_test.go", "package probes\nfunc f() " + body(mostFuncLines+1), ""},
		{"cmd/x/main.go", "package main\nfunc main() " + body(mostMainLines), ""},
		{"cmd/x/main.go", "package main\nfunc main() " + body(mostMainLines+1), "func main has 41 lines"},
		{"probes/a.go", "package probes\nfunc (r T) f(ctx context.Context, a, b, c int, d, e string) {}\n", ""},
		{"probes/a.go", "package probes\nfunc f(a, b, c int, d, e, g string) {}\n", "func f has 6 parameters"},
		{"probes/a.go", "package probes\nfunc f(int, int, int, int, int, context.Context) {}\n", "func f has 6 parameters"},
		{"probes/a.go", "package probes\ntype T interface { A(); B(); C(); D(); E() }\n", ""},
		{"probes/a.go", "package probes\ntype T interface { A(); B(); C(); D(); E(); F() }\n", "has 6 methods"},
		{"probes/a.go", "package probes\ntype T interface { A(); B(); C(); U }\ntype U interface { D(); E(); F() }\n", "has 6 methods"},
		{"probes/a.go", "package probes\ntype T interface { A(); B(); C(); D(); E(); io.Closer }\n", "has 6 methods"},
		{"probes/a.go", "package probes\nfunc f(x interface { A(); B(); C(); D(); E(); F() }) {}\n", "has 6 methods"},
	}
	for _, tt := range tests {
		got := sizeFaults([]source{written(t, tt.path, tt.text)})
		switch {
		case tt.want == "" && len(got) != 0:
			t.Errorf("%s %.60q: got %q, want no fault", tt.path, tt.text, got)
		case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
			t.Errorf("%s %.60q: got %q, want one fault that says %q", tt.path, tt.text, got, tt.want)
		}
	}
}

func TestSilentPackagesAreReported(t *testing.T) {
	tests := []struct {
		text string
		want int
	}{
		{"// Package probes looks at nodes.\npackage probes\n", 0},
		{"package probes\n", 1},
		{"// This package looks at nodes.\npackage probes\n", 1},
		{"// Package probes looks at nodes.\n\npackage probes\n", 1},
		{"// Understudy keeps a pair reachable.\npackage main\n", 0},
		{"package main\n", 1},
	}
	for _, tt := range tests {
		silent := written(t, "probes/b.go", "package probes\n")
		tested := written(t, "web/a_test.go", "package web\n")
		got := docFaults([]source{written(t, "probes/a.go", tt.text), silent, tested})
		if len(got) != tt.want {
			t.Errorf("%q: got %q, want %d faults", tt.text, got, tt.want)
		}
	}
}
