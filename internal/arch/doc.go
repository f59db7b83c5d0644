// Package arch holds no code, only tests that keep the house in shape: who may
// import whom, how long things may grow, and that the links of the
// documentation lead somewhere. docs/architecture.md says why.
package arch
