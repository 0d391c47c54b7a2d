// Package etcd is the control plane by which hosts tell each other what they have through etcd's servers.
//
// docs/design/control-planes.md says what it promises, and package record which keys it writes.
package etcd
