// Package faulttest makes the real plugin fail or die at each of its system calls in turn.
package faulttest
