// Package netns runs a function in a network namespace.
//
// It is the only caller of runtime.LockOSThread in this project, so that the one
// way to leave a thread in a wrong namespace is looked after in one place.
package netns
