package drivertest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startLab starts a lab with the plugin under test.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	return labtest.Start(t, lab.Config{Hosts: hosts})
}

// createNetwork runs the documented command on each host. addr returns a host's address on the
// underlay.
func createNetwork(t *testing.T, l *lab.Lab, name, flags string, addr func(*lab.Host) string) {
	t.Helper()
	var all []string
	for _, h := range l.Hosts() {
		all = append(all, addr(h))
	}
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=%s --opt remote_ips=%s --opt physical_interface=eth0 %s %s",
			addr(h), strings.Join(all, ","), flags, name))
	}
}

func underlayAddr4(h *lab.Host) string { return h.Addr4().String() }
func underlayAddr6(h *lab.Host) string { return h.Addr6().String() }

// runContainer starts a container that serves HTTP.
func runContainer(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	labtest.Sh(t, h, "podman run -d --name "+name+" "+flags+" localhost/web")
}

// containerAddr returns a field of a container's network settings, such as its address.
func containerAddr(t *testing.T, h *lab.Host, name, network, field string) string {
	t.Helper()
	return labtest.Sh(t, h, fmt.Sprintf("podman inspect -f '{{(index .NetworkSettings.Networks %q).%s}}' %s", network, field, name))
}
