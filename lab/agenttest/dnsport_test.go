package agenttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// runNameServer starts a container that has port 53 of the host, as Pi-hole and AdGuard Home have.
// Whatever is asked, it answers with a page.
func runNameServer(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	if out := labtest.Sh(t, h, "exec 2>&1; podman run -d --name "+name+" "+flags+" -p 53:53/udp -p 53:53/tcp localhost/busybox sh -c 'mkdir /www; echo hole > /www/index.html; nc -lu -p 53 -e true & busybox httpd -f -p 53 -h /www'"); strings.Contains(out, "rror") || strings.Contains(out, "vxlan:") {
		t.Errorf("podman run on %s says\n%s", h.Name(), out)
	}
}

// wantNamesBesideNameServer checks that the container's names are answered by the agent, and that
// the other container is reached on port 53 from outside.
func wantNamesBesideNameServer(t *testing.T, l *lab.Lab, container string, names ...string) {
	t.Helper()
	a := l.Hosts()[0]
	for _, name := range names {
		labtest.Within(t, 2*time.Second, a, "podman exec "+container+" nslookup "+name+".dns.podman")
	}
	labtest.Within(t, 2*time.Second, l.Host("outside"), fmt.Sprintf("busybox wget -qO- -T1 http://%s:53/ | grep hole", a.Addr4()))
}

// A container may have port 53, and is started before the network's first container or after it, on
// the same network, on another or on one of another driver.
func TestContainerMayPublishPort53(t *testing.T) {
	t.Parallel()
	for what, network := range map[string]string{"the network itself": "net", "another network": "other", "Podman's bridge": "podman"} {
		t.Run(strings.ReplaceAll(what, "'", ""), func(t *testing.T) {
			l := startLab(t, 2)
			a := l.Hosts()[0]
			labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:10::/64")
			labtest.CreateNetwork(t, l, "other", "--opt vni=101 --subnet 10.0.1.0/24")
			runWebServer(t, a, "web", "--network net")
			labtest.Within(t, time.Second, a, resolvesName("web", "web.dns.podman"))
			runNameServer(t, a, "hole", "--network "+network)
			wantNamesBesideNameServer(t, l, "web", "web")
			labtest.Sh(t, a, "podman exec web nslookup web.dns.podman fd00:10::1")
			// The host may ask too.
			labtest.Sh(t, a, "busybox nslookup web.dns.podman 10.0.0.1")

			labtest.Sh(t, a, "podman rm -f -t0 web hole")
			runNameServer(t, a, "hole", "--network "+network)
			runWebServer(t, a, "web", "--network net")
			wantNamesBesideNameServer(t, l, "web", "web")
		})
	}
}

// A container that publishes the agent's own port, and comes first, has it.
func TestAgentGivesWayToPublishedPort(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a := l.Hosts()[0]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "taker", "--network podman -p 61053:80/tcp -p 61053:80/udp")
	runWebServer(t, a, "web", "--network net")
	labtest.Within(t, 2*time.Second, a, resolvesName("web", "web.dns.podman"))
	labtest.Within(t, 2*time.Second, l.Host("outside"), fmt.Sprintf("busybox wget -qO- -T1 http://%s:61053/", a.Addr4()))
}
