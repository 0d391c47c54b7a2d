package labtest

import (
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
)

// Refused runs a script that must fail, and returns what it printed.
func Refused(t testing.TB, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Sh(t.Context(), "exec 2>&1; "+script)
	if err == nil {
		t.Fatalf("%s on %s succeeded: %s", script, h.Name(), out)
	}
	return out
}

// CreateOn types the documented command on each of the hosts, which are all that the network has.
func CreateOn(t testing.TB, hosts []*lab.Host, name, flags string) {
	t.Helper()
	var all []string
	for _, h := range hosts {
		all = append(all, h.Addr4().String())
	}
	for _, h := range hosts {
		Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=%s --opt "+
			"physical_interface=eth0 %s %s",
			strings.Join(all, ","), flags, name))
	}
}

// Namespace is the path of a container's network namespace, for this process.
func Namespace(t testing.TB, h *lab.Host, container string) string {
	t.Helper()
	return h.Path(Sh(t, h, "podman inspect -f '{{.NetworkSettings.SandboxKey}}' "+container))
}

// Field is what Podman tells of a container in a network: IPAddress, GlobalIPv6Address, MacAddress.
func Field(t testing.TB, h *lab.Host, container, network, field string) string {
	t.Helper()
	return Sh(t, h, fmt.Sprintf("podman inspect -f '{{(index .NetworkSettings.Networks %q).%s}}' %s",
		network, field, container))
}
