// Package drivertest has the tests of the driver as its user meets it: commands typed on lab hosts with the real Podman.
package drivertest
