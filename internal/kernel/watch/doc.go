// Package watch reports that somebody may have taken away what this project has in the kernel.
package watch
