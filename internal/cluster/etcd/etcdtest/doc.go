// Package etcdtest runs a real etcd on loopback, for tests.
package etcdtest
