// Package plan computes what the kernel should hold: for a container that starts or stops, for a
// network that goes, and for a turn of the agent.
//
// It is pure. The same networks, endpoints and peers give the same Plan, in the same order. It
// knows no kernel, clock, file or environment. What a plan needs only rarely, and is dear to read,
// is a function in it, which package reconcile calls if it must.
package plan
