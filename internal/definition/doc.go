// Package definition has what all hosts of a network share, as it is defined once in etcd.
package definition
