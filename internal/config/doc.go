// Package config reads what people write in YAML, strictly: every fault at
// once, each with its file, line and column, and what is legal but unwise
// apart.
//
// A [Document] is one file and what is wrong with it. The functions that make a
// take ([text], [duration], [keys] and so on) read one value each; a kind of
// file, such as [Sidecar], is made of them. What no single value shows, such as
// two nodes with one name, is found afterwards in the plain structs and told as
// [Faults], whose paths the Document knows the places of. [Group] is such a
// struct: the front's Caddyfile is checked by it too.
package config
