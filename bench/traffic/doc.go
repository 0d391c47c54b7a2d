// Package traffic sends and receives what throughput and latency are measured with.
//
// It is one small tool for all rows, so that what it costs itself is the same in each. Bytes and
// packets are counted where they arrive. Sockets are blocking ones, since waking up by way of the
// runtime's poller would add to each round trip.
package traffic
