package agenttest

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// agentPID is a shell expression for the process id of a host's agent.
const agentPID = "$(pgrep -x vxland)"

// Hosts leave, crash and are partitioned. Names of containers that are gone disappear soon, and
// those that come back resolve again.
func testNamesFollowHostsThatLeaveAndCrash(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	hosts := l.Hosts()
	for i, h := range hosts {
		runWebServer(t, h, fmt.Sprintf("c%d", i), "--network net")
	}
	for i, h := range hosts {
		for j := range hosts {
			labtest.Within(t, 2*time.Second, h, resolvesName(fmt.Sprintf("c%d", i), fmt.Sprintf("c%d.dns.podman", j)))
		}
	}
	// Leave: the agent exits some seconds after its last container, and the others forget the host
	// at once.
	labtest.Sh(t, hosts[2], "podman rm -f -t0 c2")
	t.Log("name gone after leave:", labtest.Within(t, time.Second, hosts[0], "! "+resolvesName("c0", "c2.dns.podman")))
	t.Log("agent ended:", labtest.Within(t, 10*time.Second, hosts[2], "! pgrep -x vxland"))
	if got := labtest.Sh(t, hosts[2], "ip -br link | grep -v -e ^lo -e ^eth0@ || true; ls /run/vxlan/vxland.sock 2>/dev/null || true"); got != "" {
		t.Errorf("left %s", got)
	}
	runWebServer(t, hosts[2], "c2", "--network net")
	t.Log("name back:", labtest.Within(t, 2*time.Second, hosts[0], resolvesName("c0", "c2.dns.podman")))

	// Partition: names of the other side are hidden, containers go on, and all names resolve again
	// after it.
	if _, err := l.UnderlayIP(t.Context(), "link", "set", "host-c", "down"); err != nil {
		t.Fatal(err)
	}
	t.Log("hidden after partition:", labtest.Within(t, 20*time.Second, hosts[0], "! "+resolvesName("c0", "c2.dns.podman")))
	labtest.Sh(t, hosts[0], "podman exec c0 ping -c1 -W1 c1")
	labtest.Sh(t, hosts[2], "podman exec c2 ping -c1 -W1 c2")
	labtest.Sh(t, hosts[0], "podman rm -f -t0 c0")
	runWebServer(t, hosts[0], "c0b", "--network net")
	if _, err := l.UnderlayIP(t.Context(), "link", "set", "host-c", "up"); err != nil {
		t.Fatal(err)
	}
	t.Log("found after healing:", labtest.Within(t, 20*time.Second, hosts[2], "podman exec c2 ping -c1 -W1 c0b"))
	labtest.Within(t, 3*time.Second, hosts[0], "podman exec c0b ping -c1 -W1 c2")
	labtest.Within(t, 3*time.Second, hosts[2], "! "+resolvesName("c2", "c0.dns.podman"))

	// Crash.
	if err := hosts[1].Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Log("hidden after crash:", labtest.Within(t, 20*time.Second, hosts[0], "! "+resolvesName("c0b", "c1.dns.podman")))
	runWebServer(t, hosts[1], "c1b", "--network net")
	t.Log("back after crash:", labtest.Within(t, 3*time.Second, hosts[0], "podman exec c0b ping -c1 -W1 c1b"))
	// No stale entry.
	labtest.Refused(t, hosts[0], resolvesName("c0b", "c1.dns.podman"))
}

// What another program removes is back within a second.
func TestAgentRepairsDrift(t *testing.T) {
	l := startLab(t, 2)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b := l.Hosts()[0], l.Hosts()[1]
	runWebServer(t, a, "ca", "--network net -p 8080:80")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, 2*time.Second, a, "podman exec ca ping -c1 -W1 cb")
	labtest.Within(t, 5*time.Second, a, staticFDBActive("net"))
	for _, drift := range []string{
		"ip link del vxlan-net",
		"ip link del br-vxlan-net",
		"ip link set vxlan-net down",
		"ip -4 address flush dev br-vxlan-net",
		"bridge fdb del 00:00:00:00:00:00 dev vxlan-net dst 198.18.0.12",
		"for m in $(bridge fdb show dev vxlan-net | awk '/dst/ && !/^00:00:00/ {print $1}'); do bridge fdb del $m dev vxlan-net self || exit 1; done",
		"for m in $(bridge fdb show dev vxlan-net | awk '/master/ && /static/ {print $1}'); do bridge fdb del $m dev vxlan-net master || exit 1; done",
		"ip neigh flush dev br-vxlan-net nud permanent",
		"bridge link set dev vxlan-net learning on neigh_suppress off",
		"nft flush ruleset",
		"nft delete element inet vxlan-driver bridges '{ \"br-vxlan-net\" }'",
	} {
		before := repairedState(t, a)
		labtest.Sh(t, a, drift)
		at := time.Now()
		for repairedState(t, a) != before {
			if time.Since(at) > 2*time.Second {
				t.Fatalf("%s: not repaired; was\n%s\nis\n%s", drift, before, repairedState(t, a))
			}
			time.Sleep(10 * time.Millisecond)
		}
		took := time.Since(at)
		t.Logf("%s: repaired after %v", drift, took)
		if took > time.Second {
			t.Errorf("%s: took %v, over a second", drift, took)
		}
		labtest.Within(t, time.Second, a, "podman exec ca ping -c1 -W1 cb")
	}
}

// repairedState returns what the agent repairs, without what changes by itself.
func repairedState(t *testing.T, h *lab.Host) string {
	t.Helper()
	return labtest.Sh(t, h, `ip -br address show br-vxlan-net 2>&1 | sed 's/@[^ ]*//'
		ip -o link show vxlan-net 2>&1 | sed 's/^[0-9]*: //; s/link.ether.*//'
		bridge fdb show dev vxlan-net 2>&1 | grep permanent | grep self | sort; ip -br link show master br-vxlan-net 2>&1 | cut -d@ -f1 | cut -d' ' -f1 | sort
		bridge fdb show dev vxlan-net 2>&1 | grep static | sort; ip neigh show dev br-vxlan-net nud permanent 2>&1 | sort
		bridge -d link show dev vxlan-net 2>&1 | grep -o -e ' learning [a-z]*' -e 'neigh_suppress [a-z]*' || true; ip -d link show vxlan-net 2>&1 | grep -o -e ' learning' -e nolearning || true
		nft list table inet vxlan-driver 2>&1 | grep -v counter`)
}

func TestIdleAgentUsesLittleMemoryAndCPU(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	for i, h := range l.Hosts() {
		runWebServer(t, h, fmt.Sprintf("c%d", i), "--network net")
	}
	a := l.Hosts()[0]
	labtest.Within(t, 2*time.Second, a, resolvesName("c0", "c2.dns.podman"))
	computed := func() time.Duration { // by all of its threads
		n, err := strconv.ParseInt(labtest.Sh(t, a, "cat /proc/"+agentPID+"/task/*/schedstat | awk '{s += $1} END {printf \"%.0f\", s}'"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n)
	}
	// What follows from the start of containers takes some 20 s.
	const rest, target, most = 10 * time.Second, 0.2, 0.3 // most: other programs on a machine make all slower
	least := math.Inf(1)
	for range 4 {
		before := computed()
		time.Sleep(rest)
		used := 100 * (computed() - before).Seconds() / rest.Seconds()
		t.Logf("at rest: %.2f %% of a core, the target is %v", used, target)
		if least = min(least, used); least <= target {
			break
		}
	}
	rss := labtest.Sh(t, a, "awk '/VmRSS/ {print $2}' /proc/"+agentPID+"/status")
	t.Logf("%s kB", rss)
	if kb, err := strconv.Atoi(rss); err != nil || kb > 40_000 {
		t.Errorf("the agent takes %s kB", rss)
	}
	if least > most {
		t.Errorf("the agent takes %.2f %% of a core at least", least)
	}
}
