package lifetest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

const (
	pluginPath  = "/usr/local/libexec/netavark/vxlan"
	create      = "podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.11,198.18.0.12 --opt physical_interface=eth0 "
	createNet   = create + "--opt vni=100 --subnet 10.0.0.0/24 net"
	createPlain = create + "--opt vni=200 --subnet 10.1.0.0/24 --disable-dns plain"
)

// startHostWithTool starts two hosts that have vxlanctl too.
func startHostWithTool(t *testing.T) (a, b *lab.Host) {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	return l.Hosts()[0], l.Hosts()[1]
}

// Somebody removes the plugin, then a container, and makes the network anew with the plugin back.
// Nothing keeps the first container alive: neither its name, nor its port, nor its devices.
func TestPluginRemovedBeforeContainers(t *testing.T) {
	t.Parallel()
	a, b := startHostWithTool(t)
	for _, round := range []string{"an agent repairs meanwhile", "the network is made anew at once"} {
		labtest.Sh(t, a, "podman run -d --name ghost -p 8080:80 --network net localhost/web; podman run -d --name stays --network net localhost/web")
		labtest.Sh(t, b, "podman run -d --replace --name cb --network net localhost/web")
		labtest.Sh(t, a, "mv "+pluginPath+" /tmp/plugin; podman rm -f -t0 ghost stays 2>&1 || true; podman rm -f -t0 ghost stays 2>&1 || true")
		if left := labtest.Sh(t, a, "podman ps -aq"); left != "" {
			t.Fatalf("containers are left: %s", left)
		}
		labtest.Sh(t, a, "podman network rm net")
		if strings.Contains(round, "agent") {
			labtest.Within(t, 65*time.Second, a, "! ip link show vxlan-net")
		}
		labtest.Sh(t, a, "mv /tmp/plugin "+pluginPath)
		labtest.Sh(t, a, createNet)
		if out := labtest.Sh(t, a, "exec 2>&1; podman run -d --name again -p 8080:80 --network net localhost/web"); strings.Contains(out, "\n") {
			t.Errorf("%s: podman run says\n%s", round, out)
		}
		labtest.Within(t, 3*time.Second, a, "podman exec again nslookup again.dns.podman >/dev/null && ! podman exec again nslookup ghost.dns.podman >/dev/null")
		labtest.Page(t, a, "again", labtest.Address(t, a, "again", "net"))
		if log := labtest.Sh(t, a, "grep -e 'held by' -e 'out of order' /run/vxlan/vxland.log || true"); log != "" {
			t.Errorf("%s: the agent says\n%s", round, log)
		}
		labtest.Sh(t, a, "podman rm -f -t0 again; podman network rm net")
		labtest.AgentEnds(t, a)
		if left := labtest.Leftovers(t, a); left != "" {
			t.Errorf("%s: left\n%s", round, left)
		}
		labtest.Sh(t, a, createNet)
	}
}

// The same without an agent, which would find the lost containers: the next start must.
func TestPluginRemovedBeforeContainersWithoutAgent(t *testing.T) {
	t.Parallel()
	a, _ := startHostWithTool(t)
	for range 2 {
		labtest.Sh(t, a, createPlain+"; podman run -d --name ghost -p 8080:80 --network plain localhost/web")
		labtest.Sh(t, a, "mv "+pluginPath+" /tmp/plugin; podman rm -f -t0 ghost 2>&1 || true; podman rm -f -t0 ghost 2>&1 || true; podman network rm plain")
		labtest.Sh(t, a, "mv /tmp/plugin "+pluginPath+"; "+createPlain)
		labtest.Sh(t, a, "podman run -d --name again -p 8080:80 --network plain localhost/web")
		labtest.Page(t, a, "again", labtest.Address(t, a, "again", "plain"))
		labtest.Sh(t, a, "curl -sS --max-time 2 http://198.18.0.11:8080/; podman rm -f -t0 again; podman network rm plain")
		if left := labtest.Leftovers(t, a); left != "" {
			t.Errorf("left\n%s", left)
		}
	}
}

// A device that somebody renamed is known by its alias. The next run puts it right, whichever it
// is: a start, the agent or reload.
func TestRenamedDevicesArePutRight(t *testing.T) {
	t.Parallel()
	a, _ := startHostWithTool(t)
	for _, network := range []string{"net", "plain"} {
		if network == "plain" {
			labtest.Sh(t, a, createPlain)
		}
		labtest.Sh(t, a, "podman run -d --name c1 --network "+network+" localhost/web")
		for _, device := range []string{"vxlan-" + network, "br-vxlan-" + network} {
			renamed := "ip link set " + device + " down; ip link set " + device + " name moved; ip link set moved up || true"
			for run, command := range map[string]string{
				"a start": "podman run --rm --network " + network + " localhost/busybox true",
				"reload":  "vxlanctl reload",
			} {
				labtest.Sh(t, a, renamed)
				labtest.Sh(t, a, command)
				labtest.Within(t, 2*time.Second, a, "ip link show "+device+" && ! ip link show moved && ip -br link show master br-vxlan-"+network+" | grep -q ^veth && ip -br link show master br-vxlan-"+network+" | grep -q ^vxlan")
				labtest.Within(t, 2*time.Second, a, "podman exec c1 ping -c1 -W1 "+map[string]string{"net": "10.0.0.1", "plain": "10.1.0.1"}[network])
				t.Logf("%s, renamed: put right by %s", device, run)
			}
		}
		labtest.Sh(t, a, "podman rm -f -t0 c1")
	}
	labtest.AgentEnds(t, a)
	if left := labtest.Leftovers(t, a); left != "" {
		t.Errorf("left\n%s", left)
	}
}

// A device of ours without a record holds a VNI: the message says that it is ours, and reload
// removes it.
func TestDevicesWithoutRecordAreRemovedByReload(t *testing.T) {
	t.Parallel()
	a, _ := startHostWithTool(t)
	labtest.Sh(t, a, `ip link add br-old type bridge; ip link set br-old alias "vxlan-driver network 0123456789abcdef old"
		ip link add old type vxlan id 100 dev eth0 local 198.18.0.11 dstport 4789; ip link set old alias "vxlan-driver network 0123456789abcdef old" master br-old up`)
	out := labtest.Refused(t, a, "podman run -d --name c1 --network net localhost/web")
	for _, want := range []string{"device old", "marked as another network's", "vxlanctl reload"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	labtest.Sh(t, a, "vxlanctl reload; ! ip link show old; ! ip link show br-old; podman rm -f c1; podman run -d --name c1 --network net localhost/web")
}
