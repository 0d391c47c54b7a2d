// Package calls makes netavark's calls from within a host, as Podman does, and takes their time.
//
// It runs in a lab host, in one process that is told over a pipe what to do next, so that calls of several hosts can take
// turns and nothing is measured but the call itself.
package calls
