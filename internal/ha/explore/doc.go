// Package explore holds no code, only tests that walk the node-side machine of
// internal/ha through every order of events that two nodes, a front and a
// register with leases can get into while messages are lost or late, nodes
// crash, freeze and come back, and a person gives commands.
//
// The nodes run ha.Machine itself and the front runs ha.Next. What is modelled
// here is the world around them: world_test.go has what there is, shell_test.go
// what happens to an act, moves_test.go what may happen next, watch_test.go what
// must never happen.
package explore
