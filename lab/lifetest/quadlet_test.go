package lifetest

import (
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Quadlet turns the example's units into podman commands of its own making; they make the network
// once, and a container on it.
//
// No systemd runs in a lab host, so the test is it: it runs the generator, then the commands of the
// services in their order, and replaces what only systemd gives (specifiers, a cgroup to split).
func TestQuadletUnits(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2})
	labtest.AsDocumented(t, l)
	addrs := []string{"10.0.0.50", "10.0.0.150"}
	start := make([]string, len(addrs))
	stop := make([]string, len(addrs))
	for i, h := range l.Hosts() {
		for name, unit := range map[string][]byte{
			"shop.network": labtest.Example(t, "quadlet/shop.network"),
			// The lab's web server does not heed SIGTERM.
			"web.container": labtest.Example(t, "quadlet/web.container", "ip=10.0.0.50", "ip="+addrs[i],
				"PublishPort=8080:80\n", "PublishPort=8080:80\nPodmanArgs=--stop-timeout=0\n"),
		} {
			if err := h.WriteFile("/etc/containers/systemd/"+name, unit, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		units := labtest.Sh(t, h, "/usr/lib/systemd/system-generators/podman-system-generator -dryrun 2>/dev/null")
		network, container := unitSection(t, units, "shop-network.service"), unitSection(t, units, "web.service")
		start[i] = unitCommand(t, network, "ExecStart") + "\n" + unitCommand(t, container, "ExecStart")
		stop[i] = unitCommand(t, container, "ExecStop")
	}
	for range 2 { // the network is there when it starts again
		for i, h := range l.Hosts() {
			labtest.Sh(t, h, start[i])
		}
		labtest.Page(t, l.Host("host-a"), "web", addrs[1])
		labtest.Page(t, l.Host("host-b"), "web", addrs[0])
		for i, h := range l.Hosts() {
			labtest.Sh(t, h, stop[i])
			checkNothingLeft(t, h)
		}
	}
}

// unitSection is the part of the generator's output that is one unit.
func unitSection(t *testing.T, units, name string) string {
	t.Helper()
	_, unit, found := strings.Cut(units, "---"+name+"---\n")
	if !found {
		t.Fatalf("no %s in\n%s", name, units)
	}
	unit, _, _ = strings.Cut(unit, "\n---")
	return unit
}

// unitCommand is a command of a unit, as a shell can run it.
func unitCommand(t *testing.T, unit, key string) string {
	t.Helper()
	for line := range strings.Lines(unit) {
		if argv, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return strings.NewReplacer("%t", "/run", "%N", "web", "--cgroups=split", "--cgroups=enabled").Replace(argv)
		}
	}
	t.Fatalf("no %s in\n%s", key, unit)
	return ""
}
