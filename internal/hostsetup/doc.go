// Package hostsetup manages a host's membership of a cluster. Each step can be interrupted and done
// again.
package hostsetup
