package ha_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A mutation is one fault that is put into the source.
type mutation struct {
	id           int // from 1
	where        string
	was, becomes string
}

func (m mutation) String() string { return fmt.Sprintf("%s: %s => %s", m.where, m.was, m.becomes) }

// A mutator writes source in which every fault that it knows can be switched
// on: a condition that never or always holds, an operand left out, another
// comparison, a missing "!", another constant, number or bool, max for min, a
// statement left out, and in page.go another text.
type mutator struct {
	all     []mutation
	another map[string]string // a constant of the same type, by name
	texts   map[string][]byte

	untagged map[ast.Node]bool // the cases of switches without a tag: conditions

	name string // of the file at hand
	fn   string // the function at hand
	src  []byte
	base token.Pos
}

func newMutator(t testing.TB, files []string) *mutator {
	t.Helper()
	m := &mutator{another: map[string]string{"true": "false", "false": "true"}, texts: map[string][]byte{}, untagged: map[ast.Node]bool{}}
	groups := map[string][]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m.texts[name] = text
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			constants(decl, groups)
		}
	}
	for _, names := range groups {
		for i, n := range names {
			if len(names) > 1 {
				m.another[n] = names[(i+1)%len(names)]
			}
		}
	}
	return m
}

// constants adds the typed constants of a declaration, by their type.
func constants(decl ast.Decl, groups map[string][]string) {
	gen, ok := decl.(*ast.GenDecl)
	if !ok || gen.Tok != token.CONST {
		return
	}
	kind := ""
	for _, spec := range gen.Specs {
		v := spec.(*ast.ValueSpec)
		if id, ok := v.Type.(*ast.Ident); ok {
			kind = id.Name
		} else if len(v.Values) > 0 {
			kind = ""
		}
		if kind != "" {
			groups[kind] = append(groups[kind], v.Names[0].Name)
		}
	}
}

// mutate gives a file with its mutants in it.
func (m *mutator) mutate(name string) []byte {
	fset := token.NewFileSet()
	m.name, m.src = name, m.texts[name]
	file, err := parser.ParseFile(fset, name, m.src, parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	m.base = token.Pos(fset.File(file.FileStart).Base())
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SwitchStmt); ok && s.Tag == nil {
			for _, c := range s.Body.List {
				m.untagged[c] = true
			}
		}
		return true
	})
	var out strings.Builder
	done := m.base
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		m.fn = fn.Name.Name
		out.WriteString(m.text(done, fn.Body.Pos()))
		out.WriteString(m.render(fn.Body, nil))
		done = fn.Body.End()
	}
	out.WriteString(string(m.src[done-m.base:]))
	return []byte(out.String())
}

func (m *mutator) text(from, to token.Pos) string { return string(m.src[from-m.base : to-m.base]) }

// add makes a mutant and gives its number.
func (m *mutator) add(n ast.Node, becomes string) int {
	was := strings.Join(strings.Fields(m.text(n.Pos(), n.End())), " ")
	id := len(m.all) + 1
	m.all = append(m.all, mutation{id, m.name + " " + m.fn, was, becomes})
	return id
}

// render gives the source of a node with the mutants of it and below it.
func (m *mutator) render(n, parent ast.Node) string {
	if b, ok := n.(*ast.BinaryExpr); ok {
		return m.wrap(n, parent, m.binary(b))
	}
	var out strings.Builder
	done := n.Pos()
	for _, child := range children(n) {
		out.WriteString(m.text(done, child.Pos()))
		out.WriteString(m.render(child, n))
		done = child.End()
	}
	out.WriteString(m.text(done, n.End()))
	return m.wrap(n, parent, out.String())
}

// children gives the nodes right below a node, in the order of the source.
func children(n ast.Node) []ast.Node {
	var below []ast.Node
	ast.Inspect(n, func(c ast.Node) bool {
		if c == n {
			return true
		}
		if c != nil {
			below = append(below, c)
		}
		return false
	})
	slices.SortFunc(below, func(a, b ast.Node) int { return int(a.Pos() - b.Pos()) })
	return below
}

// wrap gives the text of a node with the mutants of the node itself.
func (m *mutator) wrap(n, parent ast.Node, text string) string {
	switch n := n.(type) {
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			text = fmt.Sprintf("(%s != mutantOn(%d))", text, m.add(n, "without !"))
		}
	case *ast.Ident:
		text = m.ident(n, parent, text)
	case *ast.BasicLit:
		text = m.literal(n, parent, text)
	case *ast.CallExpr:
		text = m.call(n, text)
	case *ast.AssignStmt, *ast.IncDecStmt, *ast.ExprStmt, *ast.BranchStmt:
		return m.statement(n, parent, text)
	}
	if m.isCondition(n, parent) {
		text = fmt.Sprintf("((%s) && !mutantOn(%d) || mutantOn(%d))", text, m.add(n, "never"), m.add(n, "always"))
	}
	return text
}

func (m *mutator) isCondition(n, parent ast.Node) bool {
	switch p := parent.(type) {
	case *ast.IfStmt:
		return n == p.Cond
	case *ast.CaseClause:
		e, ok := n.(ast.Expr)
		return ok && m.untagged[p] && slices.Contains(p.List, e)
	}
	return false
}

// opposite gives for a comparison the one next to it.
var opposite = map[token.Token]string{
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">", token.EQL: "!=", token.NEQ: "==",
}

func (m *mutator) binary(n *ast.BinaryExpr) string {
	x, y := m.render(n.X, n), m.render(n.Y, n)
	text, other := x+m.text(n.X.End(), n.Y.Pos())+y, opposite[n.Op]
	switch n.Op {
	case token.LAND:
		return fmt.Sprintf("((%s || mutantOn(%d)) && (%s || mutantOn(%d)))", x, m.add(n.X, "left out"), y, m.add(n.Y, "left out"))
	case token.LOR:
		return fmt.Sprintf("((%s && !mutantOn(%d)) || (%s && !mutantOn(%d)))", x, m.add(n.X, "left out"), y, m.add(n.Y, "left out"))
	case token.ADD, token.SUB:
		if lit, ok := n.Y.(*ast.BasicLit); ok && lit.Kind == token.INT {
			other = map[token.Token]string{token.ADD: "-", token.SUB: "+"}[n.Op]
		}
	}
	if other == "" {
		return text
	}
	return fmt.Sprintf("mutantPick(%d, %s, %s %s %s)", m.add(n, other), text, x, other, y)
}

func (m *mutator) ident(n *ast.Ident, parent ast.Node, text string) string {
	switch p := parent.(type) {
	case *ast.SelectorExpr:
		if n == p.Sel {
			return text
		}
	case *ast.KeyValueExpr:
		if n == p.Key {
			return text
		}
	}
	if other := m.another[n.Name]; other != "" {
		return fmt.Sprintf("mutantPick(%d, %s, %s)", m.add(n, other), text, other)
	}
	return text
}

func (m *mutator) literal(n *ast.BasicLit, parent ast.Node, text string) string {
	if _, operand := parent.(*ast.BinaryExpr); operand {
		return text
	}
	switch n.Kind {
	case token.INT:
		return fmt.Sprintf("mutantPick(%d, %s, %s+1)", m.add(n, "one more"), text, text)
	case token.STRING:
		if s, _ := strconv.Unquote(n.Value); m.name == "page.go" && len(s) > 1 && m.fn != "Check" {
			return fmt.Sprintf("mutantPick(%d, %s, %q)", m.add(n, "one less"), text, s[:len(s)-1])
		}
	}
	return text
}

func (m *mutator) call(n *ast.CallExpr, text string) string {
	name, ok := n.Fun.(*ast.Ident)
	if !ok || name.Name != "max" && name.Name != "min" {
		return text
	}
	other := map[string]string{"max": "min", "min": "max"}[name.Name]
	return fmt.Sprintf("mutantPick(%d, %s, %s)", m.add(n, other), text, other+text[len("max"):])
}

// statement leaves a statement of a block or a case out.
func (m *mutator) statement(n, parent ast.Node, text string) string {
	if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
		return text
	}
	switch parent.(type) {
	case *ast.BlockStmt, *ast.CaseClause:
		return fmt.Sprintf("if !mutantOn(%d) { %s }", m.add(n, "left out"), text)
	}
	return text
}
