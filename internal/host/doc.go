// Package host is the driver on the machine that it runs on: the real kernel, the
// paths that Podman and systemd use, and firewalld. The programs share it.
package host
