// Package etcdtest tests networks with discovery=etcd on hosts that run the real Podman, and the etcd of
// Debian.
package etcdtest
