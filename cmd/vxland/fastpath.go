package main

import (
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/netstack"
)

// openWithFastPath opens a namespace in which the agent sets up fast paths.
func openWithFastPath(path string) (hoststate.Namespace, error) {
	ns, err := netstack.OpenWithFastPath(path)
	if err != nil {
		return nil, err // an untyped nil
	}
	return ns, nil
}
