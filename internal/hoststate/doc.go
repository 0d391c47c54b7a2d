// Package hoststate changes this host's networks and endpoints under the store's lock.
//
// A Session is one such change. It reads and updates the records. Then package plan computes what
// the kernel should hold, and package reconcile applies it. The plugin begins one or two sessions
// for each container that starts or stops, and the agent one for each of its turns.
package hoststate
