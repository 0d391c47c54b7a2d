// Package doctortest breaks real hosts in many ways. It tests that vxlanctl doctor names the cause
// first, and that what it prints mends it.
package doctortest
