// Package logtest gives tests a log that they may read while it is written.
package logtest
