package labtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
)

// What stops a host's agent, and lets it go on. It is stopped when it has not got the store's lock, which no other
// process could take otherwise.
const (
	FreezeAgent = "flock /run/vxlan/lock pkill -STOP -x vxland"
	ThawAgent   = "pkill -CONT -x vxland"
)

// Sh runs a script on a host that must succeed, and returns what it printed.
func Sh(t testing.TB, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Sh(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Refused runs a script that must fail, and returns what it printed.
func Refused(t testing.TB, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Sh(t.Context(), "exec 2>&1; "+script)
	if err == nil {
		t.Fatalf("%s on %s succeeded: %s", script, h.Name(), out)
	}
	return out
}

// Eventually repeats a script until it succeeds, for what is ready a moment after the command that
// starts it.
func Eventually(t testing.TB, h *lab.Host, script string) string {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		out, err := h.Sh(t.Context(), script)
		if err == nil {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Within repeats a script until it succeeds, for what takes a bounded time to become true, and
// returns how long it took.
func Within(t testing.TB, limit time.Duration, h *lab.Host, script string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		at := time.Since(began)
		out, err := h.Sh(t.Context(), "exec 2>&1; "+script)
		if err == nil {
			return time.Since(began)
		}
		if at > limit {
			t.Fatalf("not within %v: %s on %s: %v: %s", limit, script, h.Name(), err, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// CreateNetwork types the documented command on every host of a lab.
func CreateNetwork(t testing.TB, l *lab.Lab, name, flags string) {
	t.Helper()
	CreateOn(t, l.Hosts(), name, flags)
}

// CreateOn types the documented command on each of the hosts, which are all that the network has.
func CreateOn(t testing.TB, hosts []*lab.Host, name, flags string) {
	t.Helper()
	for _, h := range hosts {
		Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=%s "+
			"--opt physical_interface=eth0 %s %s", listOf(hosts), flags, name))
	}
}

// VTEPs are the addresses of a lab's hosts, as the option remote_ips wants them.
func VTEPs(l *lab.Lab) string { return listOf(l.Hosts()) }

func listOf(hosts []*lab.Host) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Addr4().String())
	}
	return strings.Join(all, ",")
}

// Address is a container's IPv4 address in a network, as Podman tells it.
func Address(t testing.TB, h *lab.Host, container, network string) string {
	t.Helper()
	return Field(t, h, container, network, "IPAddress")
}

// Field is what Podman tells of a container in a network: IPAddress, GlobalIPv6Address, MacAddress.
func Field(t testing.TB, h *lab.Host, container, network, field string) string {
	t.Helper()
	return Sh(t, h, fmt.Sprintf("podman inspect -f '{{(index .NetworkSettings.Networks %q).%s}}' %s",
		network, field, container))
}

// Namespace is the path of a container's network namespace, for this process.
func Namespace(t testing.TB, h *lab.Host, container string) string {
	t.Helper()
	return h.Path(Sh(t, h, "podman inspect -f '{{.NetworkSettings.SandboxKey}}' "+container))
}

// Page proves that a container gets the test page from a web server's address.
func Page(t testing.TB, h *lab.Host, container, addr string) {
	t.Helper()
	// Once a second, as the server may just be starting; a path that loses packets is not mended by
	// that.
	page := Eventually(t, h, fmt.Sprintf("podman exec %s wget -qO- -T2 http://%s/", container, addr))
	if !strings.Contains(page, "It works") {
		t.Errorf("%s on %s got %q from %s", container, h.Name(), page, addr)
	}
}

// Leftovers is what a host's kernel and the store have of the driver; empty when all is gone. The
// agent's log and the two locks stay; the agent itself goes a while later, see [AgentEnds].
func Leftovers(t testing.TB, h *lab.Host) string {
	t.Helper()
	return Sh(t, h, `ip -br link | grep -v -e '^lo ' -e ^eth0@ || true
		find /run/vxlan -type f ! -name lock ! -name vxland.lock ! -name vxland.log 2>/dev/null || true`)
}

// AgentEnds waits until the agent has ended, as it does 5 s after the host's last container, and
// fails if it does not, or leaves more than its lock and its log.
func AgentEnds(t testing.TB, h *lab.Host) {
	t.Helper()
	Eventually(t, h, "! pgrep ^vxland")
	if left := Sh(t, h, "find /run/vxlan ! -type d ! -name lock ! -name vxland.lock ! -name vxland.log; "+
		"ss -Hlxp | grep vxland || true"); left != "" {
		t.Errorf("the agent of %s has left\n%s", h.Name(), left)
	}
}
