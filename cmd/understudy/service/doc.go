// Package service has what every long-running face needs of its host: a unix
// socket that is its own, the user at the other end of one, and the service
// manager that started it.
package service
