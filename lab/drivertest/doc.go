// Package drivertest tests what users type: Podman's commands on lab hosts with the real Podman.
package drivertest
