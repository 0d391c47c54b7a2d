// Package bench measures this project side by side with what a user would pick instead.
//
// Every figure it claims is a ratio of two runs that took turns on the same machine.
// bench/cmd/bench is the program; it drives built binaries in a lab, as a user would, and imports
// nothing internal. docs/design/performance.md quotes the results.
package bench
