// Package soaktest has the test that nothing is left of a thousand containers, many of whose starts and stops are killed.
package soaktest
