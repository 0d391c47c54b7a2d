package agenttest

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// wantSameDiagnosis breaks a host in ways that are found by its programs, its kernel and its
// containers. The confined agent, asked by another host, finds as much as root does.
func wantSameDiagnosis(a node, b *lab.Host) {
	a.Helper()
	const inCA = "nsenter --net=$(podman inspect -f '{{.NetworkSettings.SandboxKey}}' ca) "
	faults := []struct{ code, inject, undo string }{
		{"VX0102", "sysctl -qw net.ipv4.conf.eth0.forwarding=0", "sysctl -qw net.ipv4.conf.eth0.forwarding=1"},
		{"VX0103", // of a Podman that is too old
			`printf '#!/bin/sh\n/usr/bin/podman "$@" | sed "s/version [0-9].*/version 4.3.1/"\n' >/usr/local/bin/podman; chmod 755 /usr/local/bin/podman`,
			"rm /usr/local/bin/podman"},
		{"VX0305", "nft -f - <<'END'\ntable ip blocknat { chain c { type nat hook postrouting priority 100; udp dport 4789 snat to 198.18.0.99; }; }\nEND", "nft delete table ip blocknat"},
		{"VX0402", "bridge link set dev vxlan-net isolated on", "bridge link set dev vxlan-net isolated off"},
		{"VX0409", inCA + "ip link set eth0 mtu 600", inCA + "ip link set eth0 mtu 1450"},
		{"VX0505",
			"tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress protocol ip u32 match ip protocol 17 0xff match ip dport 4789 0xffff action mirred egress redirect dev lo",
			"tc qdisc delete dev eth0 clsact"},
	}
	tool, err := os.ReadFile(labtest.Binary(a, "vxlanctl"))
	if err == nil {
		err = b.WriteFile("/usr/local/bin/vxlanctl", tool, 0o755)
	}
	if err != nil {
		a.Fatal(err)
	}
	for _, f := range faults {
		a.mustRun(f.inject)
	}
	own := a.mustRun("vxlanctl doctor 2>&1 || true")
	asked := labtest.Sh(a, b, "vxlanctl doctor "+a.host.Name()+" 2>&1 || true")
	for _, f := range slices.Backward(faults) {
		if !strings.Contains(own, f.code) {
			a.Errorf("doctor does not find %s", f.code)
		}
		if !strings.Contains(asked, f.code) {
			a.Errorf("the confined agent does not find %s", f.code)
		}
		a.mustRun(f.undo)
	}
	for _, code := range regexp.MustCompile(`(?m)^VX\d{4}`).FindAllString(asked, -1) {
		if !strings.Contains(own, code) {
			a.Errorf("only the confined agent finds %s", code)
		}
	}
	if a.Failed() {
		a.Errorf("doctor says\n%s\nasked by another host\n%s", own, asked)
	}
}
