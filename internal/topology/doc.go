// Package topology draws the hosts, networks, containers and tunnels that a host knows.
package topology
