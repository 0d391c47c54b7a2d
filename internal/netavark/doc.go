// Package netavark speaks netavark's plugin protocol: a verb as an argument,
// JSON on standard input, JSON on standard output.
//
// The protocol is described in netavark's plugin-API.md; api_version 1.0.0, as
// netavark 1.6 and later speak it. Podman itself calls create, netavark calls
// setup and teardown. Standard error reaches the user as it is, so it is empty
// on success.
package netavark
