// Package member runs one member of the etcd cluster that several hosts share
// as their register, inside this process.
//
// Three members, each on a machine of its own, bear the loss of one. A member
// that is started for the first time begins a cluster with the others that its
// configuration names, or, told to join, asks a cluster that runs already to
// take it in.
package member
