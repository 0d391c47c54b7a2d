// Package addrprobe asks on a link whether somebody has an address, before somebody else gets it.
package addrprobe
