// Package attacktest tests what a network keeps out. Each attack succeeds without the rule against
// it, and fails with it.
package attacktest
