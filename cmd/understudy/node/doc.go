// Package node wires the engine of one node of a pair: its configuration, the
// two status pages, the application and the door for clients, the control
// socket, and the service manager that started it.
package node
