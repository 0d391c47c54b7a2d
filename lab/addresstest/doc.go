// Package addresstest tests which addresses containers and hosts get, that they do not collide, and
// that an address can move to another host.
package addresstest
