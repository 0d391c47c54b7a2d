// Package jointest tests how hosts become members of a cluster, and how its key is changed.
package jointest
