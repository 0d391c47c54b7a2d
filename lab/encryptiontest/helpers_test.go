package encryptiontest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// clusterKey is 32 bytes in base64, and no secret.
const clusterKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// startLab starts a lab whose hosts find each other by gossip, with a key.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: hosts, Outside: true, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	configureAgents(t, l, labtest.UsesPrograms())
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(),
				"cat /run/vxlan/vxland.log; vxlanctl status; cat /run/vxlan/networks/*/peers.json; ip -d link")
			t.Logf("%s: agent:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l
}

func configureAgents(t *testing.T, l *lab.Lab, programs bool) {
	t.Helper()
	config := fmt.Sprintf("key_file = \"/etc/vxlan/key\"\nseeds = [%q, %q]\nebpf = %v\n",
		l.Hosts()[0].Addr4(), l.Hosts()[0].Addr6(), programs)
	for _, h := range l.Hosts() {
		for path, text := range map[string]string{"/etc/vxlan/vxland.toml": config, "/etc/vxlan/key": clusterKey + "\n"} {
			checkErr(t, h.WriteFile(path, []byte(text), 0o600))
		}
	}
}

// encrypted is the option that this package is about.
const encrypted = "--opt encryption=wireguard"

// createNetwork creates a network by the same command on each host. Its addresses follow from its number.
func createNetwork(t *testing.T, h *lab.Host, name string, vni int, flags string) {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt discovery=gossip --opt "+
		"physical_interface=eth0"+
		" --opt vni=%d --subnet 10.%d.0.0/24 --subnet fd00:%d::/64 %s %s", vni, vni, vni, flags, name))
}

// createOn creates a network on hosts, over IPv4, or over IPv6 of the underlay.
func createOn(t *testing.T, hosts []*lab.Host, name string, vni int, six bool, flags string) {
	t.Helper()
	labtest.Each(t, hosts, func(h *lab.Host) {
		vtep := h.Addr4()
		if six {
			vtep = h.Addr6()
		}
		createNetwork(t, h, name, vni, fmt.Sprintf("--opt local_ip=%s %s", vtep, flags))
	})
}

// container is a running container.
type container struct {
	host         *lab.Host
	name         string
	ns           string
	mac          packet.MAC
	addr4, addr6 netip.Addr
}

func runContainer(t *testing.T, h *lab.Host, name, network, flags string) container {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman run -d --name %s --network %s %s localhost/web", name, network, flags))
	c := container{host: h, name: name, ns: labtest.Namespace(t, h, name)}
	c.addr4 = netip.MustParseAddr(labtest.Field(t, h, name, network, "IPAddress"))
	c.addr6 = netip.MustParseAddr(labtest.Field(t, h, name, network, "GlobalIPv6Address"))
	c.mac = openPort(t, c.ns, "eth0").MAC()
	return c
}

// runOnEach starts a container on each host, and waits until each reaches all others by all ways.
func runOnEach(t *testing.T, hosts []*lab.Host, network string) (all []container) {
	t.Helper()
	for i, h := range hosts {
		all = append(all, runContainer(t, h, fmt.Sprintf("%s%d", network, i), network, ""))
	}
	awaitReach(t, all)
	return all
}

// soon is how long the agent may take to mend what it hears of.
const soon = 10 * time.Second

// awaitReach waits until each container reaches all others.
func awaitReach(t *testing.T, all []container) {
	t.Helper()
	awaitReachWithin(t, soon, all)
}

func awaitReachWithin(t *testing.T, patience time.Duration, all []container) {
	t.Helper()
	for _, from := range all {
		for _, to := range all {
			if from.host != to.host {
				labtest.Within(t, patience, from.host,
					pingScript(from, to.addr4.String())+" && "+pingScript(from, to.addr6.String()))
			}
		}
	}
}

// pingScript is a script that succeeds if the container reaches the name or address.
func pingScript(from container, to string) string {
	return fmt.Sprintf("podman exec %s ping -c1 -W1 %s", from.name, to)
}

func netnsName(c container) string { return c.ns[strings.LastIndex(c.ns, "/")+1:] }

// openPort opens a port on a device of a namespace until the test ends.
func openPort(t *testing.T, ns, device string) *packet.Port {
	t.Helper()
	p, err := packet.Open(ns, device)
	checkErr(t, err)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func checkErr(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
