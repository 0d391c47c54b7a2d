package drivertest

import (
	"strings"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Podman shows why create refuses a network, and no network is left.
func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a := l.Hosts()[0]
	const good = "podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.12 --opt physical_interface=eth0 "
	labtest.Sh(t, a, good+"--opt vni=1 --subnet 10.1.0.0/24 one")
	tests := []struct {
		name, command string
		want          []string
	}{
		{"everything at once", "podman network create --driver vxlan --opt vni=0 --opt remote-ips=x --opt local_ip=198.18.0.99 --opt physical_interface=eth0 --opt mtu=9000 --subnet 198.18.0.0/24 x",
			[]string{"6 problems", `option vni "0": must be a whole number from 1 to 16777215`, `option "remote-ips": is unknown; did you mean "remote_ips"?`,
				"option remote_ips: is required", `"198.18.0.99": is not an address of eth0, which has 198.18.0.11`, `option mtu "9000": must be from 576 to 1450`,
				`--subnet "198.18.0.0/24": overlaps the underlay: eth0 has 198.18.0.11/24`}},
		{"no subnet", good + "--opt vni=2 x", []string{"--subnet: is required, the same on every host"}},
		{"the VNI of another network", good + "--opt vni=1 --subnet 10.9.0.0/24 x", []string{`option vni "1": is used with port 4789 by network "one"`}},
		{"the subnet of another network", good + "--opt vni=2 --subnet 10.1.0.0/16 x", []string{`overlaps 10.1.0.0/24 of network "one"`}},
		{"the VNI of a device", "ip link add v7 type vxlan id 7 dstport 4789 dev eth0; " + good + "--opt vni=7 --subnet 10.9.0.0/24 x", []string{`option vni "7": is used with port 4789 by the device v7`}},
		{"a bridge's name", good + "--opt vni=2 --interface-name eth0 --subnet 10.9.0.0/24 x", []string{`device name "eth0": is held by an interface of this host`}},
		{"an interface that is not there", "podman network create --driver vxlan --opt vni=2 --opt local_ip=auto --opt remote_ips=198.18.0.12 --opt physical_interface=eth9 --subnet 10.9.0.0/24 x",
			[]string{`option physical_interface "eth9": this host has no such interface`}},
		{"dhcp", good + "--opt vni=2 --ipam-driver dhcp x", []string{`--ipam-driver "dhcp": is not supported`}},
		{"a subnet too small", good + "--opt vni=2 --subnet 10.9.0.0/30 x", []string{"the smallest that works is a /29"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := labtest.Refused(t, a, tt.command)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("got\n%s\nwant %s", got, want)
				}
			}
		})
	}
	if got := labtest.Sh(t, a, "podman network ls -q | sort | tr '\\n' ' '"); got != "one podman " {
		t.Errorf("networks: %s", got)
	}
}

// A start that fails says why, and leaves nothing.
func TestSetupRefuses(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a := l.Hosts()[0]
	createNetwork(t, l, "net", "--opt vni=9 --subnet 10.0.0.0/24", underlayAddr4)
	labtest.Sh(t, a, "ip link add vxlan7 type vxlan id 9 dstport 4789 dev eth0")
	got := labtest.Refused(t, a, "podman run --rm --network net localhost/busybox true")
	if !strings.Contains(got, "VNI 9 on port 4789 is held by device vxlan7") {
		t.Errorf("got %s", got)
	}
	// Found in TestUnderlayAndOverlayFamilies: another VNI on the same port, but other receive
	// flags.
	labtest.Sh(t, a, "ip link del vxlan7; ip link add vxlan7 type vxlan id 8 dstport 4789 dev eth0 gbp; ip link set vxlan7 up")
	got = labtest.Refused(t, a, "podman run --rm --network net localhost/busybox true")
	if !strings.Contains(got, "address already in use") || !strings.Contains(got, "the kernel wants the same gbp, and on IPv6 the same udp_checksum, as has device vxlan7") {
		t.Errorf("got %s", got)
	}
	labtest.Sh(t, a, "ip link del vxlan7")
	if got := labtest.Leftovers(t, a); got != "" {
		t.Errorf("left %s", got)
	}
	labtest.Sh(t, a, "ip link add br-vxlan-net type bridge && ip link set br-vxlan-net up")
	got = labtest.Refused(t, a, "podman run --rm --network net localhost/busybox true")
	if !strings.Contains(got, `the name is held by bridge device "br-vxlan-net"`) {
		t.Errorf("got %s", got)
	}
	labtest.Sh(t, a, "ip link show br-vxlan-net && ip link del br-vxlan-net")
	if got := labtest.Leftovers(t, a); got != "" {
		t.Errorf("left %s", got)
	}
}

// Rootless Podman cannot reach the underlay, and the error says so.
func TestRootlessIsRefused(t *testing.T) {
	t.Parallel()
	l := startLab(t, 1)
	a := l.Hosts()[0]
	// Storage of its own: newer Podman takes the host's storage.conf, root's paths included, for
	// everybody.
	labtest.Sh(t, a, `useradd -m -u 1500 user
		mkdir -p /run/user/1500 && chown user /run/user/1500
		printf '[storage]\ndriver = "vfs"\nrunroot = "/run/user/1500/c"\ngraphroot = "/home/user/c"\n' > /home/user/storage.conf`)
	got := labtest.Refused(t, a, "runuser -u user -- env XDG_RUNTIME_DIR=/run/user/1500 HOME=/home/user CONTAINERS_STORAGE_CONF=/home/user/storage.conf "+
		"podman network create --driver vxlan --opt vni=1 --opt local_ip=auto --opt remote_ips=198.18.0.12 --opt physical_interface=eth0 --subnet 10.0.0.0/24 x")
	if !strings.Contains(got, "rootless Podman cannot use vxlan networks: its network namespace has no physical interface") {
		t.Errorf("got %s", got)
	}
}
