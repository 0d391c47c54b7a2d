// Package hostsetup makes a host a member of a cluster, and ends that. Each step can be interrupted
// and done again.
package hostsetup
