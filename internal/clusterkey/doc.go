// Package clusterkey reads, makes and edits the file with the keys that the hosts of a cluster share.
package clusterkey
