// Package repairs finds out what the agent has to repair, and who had removed it.
//
// The agent itself remembers nothing: it makes the kernel what it should be. So this package looks on
// as changes are made, and compares them with what the kernel has reported as removed. It decides
// nothing.
package repairs
