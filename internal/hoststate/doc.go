// Package hoststate changes this host's networks and endpoints under the store's lock.
//
// A Session is one such change. It reads what is recorded, records what is to be, has
// package plan compute what the kernel should hold, and package reconcile apply it. The plugin
// begins one or two for each container that starts or stops, and the agent one for each of
// its turns.
package hoststate
