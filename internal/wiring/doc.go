// Package wiring wires the driver to the machine that it runs on: the real kernel,
// the paths of Podman and systemd, firewalld.
package wiring
