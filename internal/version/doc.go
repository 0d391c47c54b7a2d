// Package version says which version of this project a program was built from.
package version
