// Package kernel describes in plain values what a network namespace holds.
//
// It does no I/O. Package plan computes the Links that should be, package rtnl reads the ones that
// are, and package reconcile compares the two and makes Changes. Every Change prints as the ip,
// bridge, nft or tc command that a person would type for it. So a person can read, and try, what is
// in logs, errors and golden files without this project.
package kernel
