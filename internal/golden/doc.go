// Package golden compares what a test gets with a file in testdata.
package golden
