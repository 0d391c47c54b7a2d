// Package kernel says in plain values what a network namespace holds.
//
// It is a vocabulary and does no I/O: package plan computes the Links that
// should be, package rtnl reads the ones that are, package reconcile compares
// the two and asks for Changes. Every Change prints as the ip, bridge, nft or tc command
// that a person would type for it, so that logs, errors and the golden files of
// the tests can be read, and tried, without this project.
package kernel
