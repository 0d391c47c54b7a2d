// Package cputime measures for tests what a function costs, on machines that have other things to do too.
package cputime
