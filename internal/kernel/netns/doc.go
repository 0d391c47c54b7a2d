// Package netns runs a function in a network namespace.
//
// It is the only caller of runtime.LockOSThread in this project. So only this package could leave a
// thread in the wrong namespace.
package netns
