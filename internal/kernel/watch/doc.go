// Package watch reports that something this project made may be missing from the kernel.
package watch
