// Package addresstest has the tests of addresses as a user meets them: which containers and hosts get, whether they collide,
// what the gateway's is, and how one moves.
package addresstest
