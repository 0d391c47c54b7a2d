// Package gobench reads the output of `go test -bench`.
package gobench
