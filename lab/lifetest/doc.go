// Package lifetest tests the tools that start, stop and reconfigure containers on a VXLAN network:
// Compose, pods, Kubernetes YAML, Quadlet, systemd, firewalld.
package lifetest
