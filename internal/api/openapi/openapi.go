// Package openapi describes the two HTTP APIs, that of groups and that of a
// node, as an OpenAPI document. Its schemas are made from the types that the
// handlers write, so that they cannot differ; tests compare its paths with the
// handlers'. Understudy openapi prints it.
package openapi

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/internal/api"
	"github.com/understudy-ha/understudy/internal/api/nodeapi"
)

// Operation is one method at one path.
type Operation struct {
	Method, Path string
	Says         string // in a sentence
	Takes        any    // the body's type, nil: none
	Gives        any    // the answer's type; a string is its media type
}

// Groups are the operations on groups: at Caddy's admin endpoint and at the
// sidecar.
func Groups() []Operation {
	all := []Operation{
		{"GET", "/understudy/groups", "Every group.", nil, api.GroupList{}},
		{"GET", "/understudy/groups/{group}", "One group.", nil, api.Group{}},
		{"GET", "/understudy/groups/{group}/history", "The changes of a group, the oldest first.", nil, api.HistoryList{}},
		{"GET", "/understudy/opinion/{group}", "What this watcher believes of a group, with its last readings.", nil, api.Opinion{}},
		{"GET", "/understudy/events", "A group at each change, as server-sent events.", nil, "text/event-stream"},
		{"GET", "/understudy/metrics", "Figures in the Prometheus text format.", nil, "text/plain"},
		{"GET", "/understudy/pools", "Every pool of the name server.", nil, api.PoolList{}},
	}
	says := map[string]string{
		"resume": "Send clients back to the first in order.", "switch": "Send clients to the node that is named.",
		"reorder": "Change the order; traffic stays.", "hold": "Freeze the routing.", "release": "End a hold.", "freeze": "Let every request wait for a while.",
	}
	for _, verb := range api.Verbs() {
		all = append(all, Operation{"POST", "/understudy/groups/{group}/" + verb, says[verb], api.Body{}, api.Outcome{}})
	}
	return all
}

// Node are the operations on a node: at its socket, and at the portal's
// listener.
func Node() []Operation {
	return []Operation{
		{"GET", "/ha/v1/status", "How the node is.", nil, nodeapi.Status{}},
		{"GET", "/ha/v1/events", "The status at each change, as server-sent events.", nil, "text/event-stream"},
		{"POST", "/ha/v1/role", "failover mode primary or secondary.", nodeapi.Request{}, nodeapi.Answer{}},
		{"POST", "/ha/v1/ha", "High Availability: Enable or Disable.", nodeapi.Request{}, nodeapi.Answer{}},
		{"POST", "/ha/v1/pause", "Nothing happens by itself, or again.", nodeapi.Request{}, nodeapi.Answer{}},
		{"POST", "/ha/v1/sync", "Run Sync Now.", nodeapi.Request{}, nodeapi.Answer{}},
		{"POST", "/ha/v1/validate", "Start the application on the stand-by, count, and stop it again.", nodeapi.Request{}, nodeapi.Verified{}},
		{"POST", "/ha/v1/rollback", "Put an older generation of the copy into force.", nodeapi.Request{}, nodeapi.Rolled{}},
		{"GET", "/ha/v1/diverged", "What only this node had when a sync replaced it, and is kept.", nil, []nodeapi.Archive{}},
		{"POST", "/ha/v1/diverged/now", "What this node, or with ?peer its peer, has written since both were the same.", nodeapi.Request{}, nodeapi.Own{}},
		{"POST", "/ha/v1/diverged/{generation}/export", "What is kept, as a tar file.", nodeapi.Request{}, "application/x-tar"},
		{"DELETE", "/ha/v1/diverged/{generation}", "Drop what is kept.", nodeapi.Request{}, struct{}{}},
		{"POST", "/ha/v1/client-connection", "Let new clients in, or keep them out.", nodeapi.Request{}, nodeapi.Answer{}},
		{"GET", "/ha/v1/settings", "Every setting; its ETag names them as they are.", nil, []nodeapi.Setting{}},
		{"PUT", "/ha/v1/settings", "Save settings by name; If-Match keeps from overwriting others' changes.", nodeapi.Request{}, nodeapi.Answer{}},
		{"GET", "/ha/v1/services", "The datasets, and which of them are enabled.", nil, []nodeapi.Service{}},
		{"PUT", "/ha/v1/services", "Enable and disable optional datasets.", nodeapi.Request{}, nodeapi.Answer{}},
		{"GET", "/ha/v1/history", "Every change of what the node is.", nil, []nodeapi.Transition{}},
		{"GET", "/ha/v1/sync-history", "The Sync History.", nil, []nodeapi.Sync{}},
		{"GET", "/ha/v1/preflight", "What a pair needs, as it is now.", nil, []nodeapi.Item{}},
		{"GET", "/ha/v1/facts", "What a node tells of itself to one that compares.", nil, nodeapi.Facts{}},
		{"GET", "/ha/v1/log", "The log HighAvailability, with ?all the whole of it.", nil, "text/plain"},
		{"POST", "/ha/v1/notify-test", "Send a test mail.", nodeapi.Request{}, nodeapi.Sent{}},
		{"GET", "/ha/v1/swap", "The newest planned swap.", nil, nodeapi.Swap{}},
		{"GET", "/ha/v1/agents", "Which node the agents reach.", nil, nodeapi.Agents{}},
		{"PUT", "/ha/v1/agents/{id}", "An agent says which node it reaches.", nodeapi.Request{}, struct{}{}},
		{"DELETE", "/ha/v1/agents/{id}", "Forget an agent.", nodeapi.Request{}, nodeapi.Answer{}},
		{"GET", "/ha/v1/run", "What the node knows of upgrade runs.", nil, nodeapi.Run{}},
		{"POST", "/ha/v1/lock", "Claim the node for a run, or give it back.", nodeapi.RunRequest{}, nodeapi.Run{}},
		{"PUT", "/ha/v1/run/copy", "The process of a run tells where it stands, with the lines of its journal.", nodeapi.RunCopy{}, nodeapi.RunKept{}},
		{"GET", "/ha/v1/run/copy", "The copy of the newest run, to go on with it from another machine.", nil, nodeapi.RunCopy{}},
		{"POST", "/ha/v1/run/answer", "Answer what a run asks, or have it undone.", nodeapi.RunRequest{}, nodeapi.Run{}},
		{"POST", "/ha/v1/trusted-hosts", "Remove a trusted host, invite another node, or join one by its pairing string.", nodeapi.TrustRequest{}, nodeapi.TrustAnswer{}},
		{"POST", "/ha/v1/app", "Start one of the node's own argument lists for a run.", nodeapi.RunRequest{}, nodeapi.Run{}},
	}
}

// object is a part of the document.
type object = map[string]any

// Document gives the description of both.
func Document() ([]byte, error) {
	m := maker{schemas: object{}}
	paths := object{}
	for tag, all := range map[string][]Operation{"groups": Groups(), "node": Node()} {
		fault := m.of(reflect.TypeOf(api.Fault{}))
		if tag == "node" {
			fault = m.of(reflect.TypeOf(nodeapi.Fault{}))
		}
		for _, op := range all {
			at, ok := paths[op.Path].(object)
			if !ok {
				at = object{}
				paths[op.Path] = at
			}
			at[strings.ToLower(op.Method)] = m.operation(tag, op, fault)
		}
	}
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info":    object{"title": "Understudy", "version": "1", "description": "Groups at Caddy's admin endpoint and at the sidecar; a node at its socket and at its portal."},
		"paths":   paths, "components": object{"schemas": m.schemas},
	}, "", " ")
	return append(text, '\n'), err
}

// maker makes schemas of Go types, each named one once.
type maker struct{ schemas object }

func (m maker) operation(tag string, op Operation, fault object) object {
	content := func(of any) object {
		if media, ok := of.(string); ok {
			return object{media: object{"schema": object{"type": "string"}}}
		}
		return object{"application/json": object{"schema": m.of(reflect.TypeOf(of))}}
	}
	answer := object{"summary": op.Says, "tags": []string{tag}, "responses": object{
		"200":     object{"description": "done", "content": content(op.Gives)},
		"default": object{"description": "not done, and why", "content": object{"application/json": object{"schema": fault}}},
	}}
	if op.Takes != nil {
		answer["requestBody"] = object{"required": true, "content": content(op.Takes)}
	}
	if _, rest, ok := strings.Cut(op.Path, "{"); ok {
		name, _, _ := strings.Cut(rest, "}")
		answer["parameters"] = []object{{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}}}
	}
	return answer
}

var (
	asText = reflect.TypeFor[encoding.TextMarshaler]()
	times  = reflect.TypeFor[time.Time]()
	raw    = reflect.TypeFor[json.RawMessage]()
)

// of gives the schema of a type, by reference where it has a name.
func (m maker) of(t reflect.Type) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return object{"anyOf": []object{m.of(t.Elem()), {"type": "null"}}}
	case t == raw:
		return object{} // any document
	case t == times:
		return object{"type": "string", "format": "date-time"}
	case t.Implements(asText):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": m.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": m.of(t.Elem())}
	case reflect.Struct:
		if t.Name() == "" {
			return object{"type": "object"}
		}
		return m.named(t)
	}
	return object{"type": "integer"}
}

func (m maker) named(t reflect.Type) object {
	pkg := t.PkgPath()
	name := pkg[strings.LastIndex(pkg, "/")+1:] + "." + t.Name()
	if m.schemas[name] == nil {
		properties := object{}
		m.schemas[name] = object{"type": "object", "properties": properties} // before its fields, for one may be of its own type
		m.fields(t, properties)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// fields adds what encoding/json writes of a struct.
func (m maker) fields(t reflect.Type, to object) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			m.fields(f.Type, to)
		case name == "":
			to[f.Name] = m.of(f.Type)
		default:
			to[name] = m.of(f.Type)
		}
	}
}
