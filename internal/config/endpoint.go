package config

import (
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
)

// Endpoint is where a service listens, as package net names it. The zero value is nowhere.
type Endpoint struct {
	Network string // "tcp" or "unix"
	Address string
}

const (
	unixPrefix = "unix:"
	// maxSocketPath is what a struct sockaddr_un holds, without the zero at its end (unix(7)).
	maxSocketPath = 107
)

// parseEndpoint parses an address with a port, or the path of a Unix socket. It refuses the agents'
// own ports: whoever came first would keep the other from it.
func parseEndpoint(typed string, agentPorts ...uint16) (Endpoint, error) {
	if typed == "" {
		return Endpoint{}, nil
	}
	if path, isUnix := strings.CutPrefix(typed, unixPrefix); isUnix {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || len(path) > maxSocketPath {
			return Endpoint{}, errors.New(
				`must be "unix:" and an absolute path of at most 107 bytes, such as "unix:/run/vxlan/metrics.sock"`)
		}
		return Endpoint{"unix", path}, nil
	}
	addr, err := netip.ParseAddrPort(typed)
	if err != nil || addr.Port() == 0 || addr.Addr().IsMulticast() {
		return Endpoint{}, errors.New(
			`must be ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or "unix:" and a path, such as "127.0.0.1:7948"`)
	}
	if slices.Contains(agentPorts, addr.Port()) {
		return Endpoint{}, errors.New("has one of the agents' own ports; choose another")
	}
	return Endpoint{"tcp", addr.String()}, nil
}
