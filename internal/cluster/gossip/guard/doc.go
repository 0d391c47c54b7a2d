// Package guard stands between the network and memberlist. It refuses what the library would take
// from anybody, and counts all refusals, the library's included.
package guard
