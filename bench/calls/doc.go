// Package calls calls netavark within a host as Podman does, and measures the time.
//
// It runs as one process in a lab host, which gets its orders over a pipe. So the calls of several
// hosts can take turns, and only the call itself is measured.
package calls
