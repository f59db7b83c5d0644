// Package nodeapi is the API of a node, GET /ha/v1/status and its neighbours: the
// documents that it gives and takes, and a [Client] of it. The engine of a node
// serves it on its control socket for people of the machine, and on its portal's
// listener for those that it trusts.
package nodeapi
