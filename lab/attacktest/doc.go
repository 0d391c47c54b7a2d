// Package attacktest has the tests of what a network keeps out: each attack succeeds without the rule that is against it,
// and fails with it.
package attacktest
