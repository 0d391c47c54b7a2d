// Package netavark speaks netavark's plugin protocol: a verb as an argument, JSON on standard
// input, JSON on standard output.
//
// The protocol is described in netavark's plugin-API.md; this is api_version 1.0.0, of netavark 1.6
// and later. Podman itself calls create; netavark calls setup and teardown. Standard error reaches
// the user as it is, so it stays empty on success.
package netavark
