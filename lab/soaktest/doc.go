// Package soaktest tests that nothing is left of a thousand containers whose starts and stops are
// often killed.
package soaktest
