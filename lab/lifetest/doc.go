// Package lifetest has the tests of the ways in which Podman and the programs around it start, stop and reconfigure
// containers on a VXLAN network: Compose, pods, Kubernetes YAML, Quadlet, firewalld.
package lifetest
