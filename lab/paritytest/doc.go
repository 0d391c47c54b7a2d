// Package paritytest has the tests that a container on a vxlan network has all that Podman's own
// bridge network gives it: where both can do a thing, the same table runs on both, and a comment
// says where they differ and why.
package paritytest
