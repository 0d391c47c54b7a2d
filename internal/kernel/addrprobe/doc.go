// Package addrprobe asks a link who has an address, before somebody else gets it.
package addrprobe
