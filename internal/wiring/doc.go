// Package wiring connects the driver to this host: the real kernel, the paths of Podman and
// systemd, firewalld and the agent.
package wiring
