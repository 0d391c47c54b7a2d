package agenttest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// metricsOf returns what a host serves on its Unix socket: values by name and labels.
func metricsOf(t *testing.T, h *lab.Host) map[string]float64 {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.Path("/run/vxlan/metrics.sock"))
		},
	}}
	response, err := client.Get("http://agent/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	values := make(map[string]float64)
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values[line[:at]] = value
	}
	return values
}

// wantMetric waits until a metric of a host is as it should be.
func wantMetric(t *testing.T, h *lab.Host, when, name string, ok func(float64) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		values := metricsOf(t, h)
		value, known := values[name]
		if known && ok(value) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s is %v (served: %v) on %s; all are\n%v", when, name, value, known, h.Name(), values)
		}
	}
}

func is(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
func atLeast(want float64) func(float64) bool {
	return func(v float64) bool { return v >= want }
}

// The metrics of an agent follow what happens on its host and on the way to another one.
func TestMetricsFollowWhatHappens(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b := l.Hosts()[0], l.Hosts()[1]
	serveMetrics(t, a, "unix:/run/vxlan/metrics.sock")
	serveMetrics(t, b, metricsAddress(b))
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, 5*time.Second, a, "podman exec ca ping -c1 -W1 cb && test -S /run/vxlan/metrics.sock")
	hasPrometheus := startPrometheus(t, a, metricsAddress(b))

	peer := fmt.Sprintf(`{address="%s",peer="host-b"}`, b.Addr4())
	wantMetric(t, a, "two hosts", "vxlan_peer_up"+peer, is(1))
	wantMetric(t, a, "two hosts", "vxlan_peer_rtt_seconds"+peer, func(v float64) bool { return v > 0 && v < 1 })
	wantMetric(t, a, "two hosts", "vxlan_peer_rtt_age_seconds"+peer, func(v float64) bool { return v < 10 })
	wantMetric(t, a, "two hosts", "vxlan_peer_tunnel_loss_ratio"+peer, func(v float64) bool { return v < 1 })
	for _, where := range []string{"local", "remote"} {
		wantMetric(t, a, "a container each", `vxlan_endpoints{network="net",where="`+where+`"}`, is(1))
	}
	for name, want := range map[string]float64{
		`vxlan_peers{state="reachable"}`: 1, `vxlan_peers{state="unreachable"}`: 0, "vxlan_address_conflicts": 0,
		"vxlan_reconcile_failed": 0, `vxlan_control_plane_alone{cluster="` + a.Addr4().String() + `"}`: 0,
		`vxlan_control_plane_synced{cluster="` + a.Addr4().String() + `"}`: 1,
	} {
		wantMetric(t, a, "all is well", name, is(want))
	}

	before := metricsOf(t, a)
	since := func(name string, n float64) func(float64) bool { return atLeast(before[name] + n) }
	labtest.Sh(t, a, "podman exec ca ping -c5 -i0.2 -s1000 -W1 cb")
	for _, direction := range []string{"receive", "transmit"} {
		packets, bytes := `vxlan_network_`+direction+`_packets_total{network="net"}`, `vxlan_network_`+direction+`_bytes_total{network="net"}`
		wantMetric(t, a, "five pings", packets, since(packets, 5))
		wantMetric(t, a, "five pings", bytes, since(bytes, 5*1028))
	}
	const answered, firewall, device = `vxlan_dns_queries_total{result="answered"}`, `vxlan_repairs_total{kind="firewall"}`, `vxlan_repairs_total{kind="device"}`
	wantMetric(t, a, "a name was asked for", answered, since(answered, 1))
	wantMetric(t, a, "nothing was altered", firewall, is(0))
	labtest.Sh(t, a, "nft flush ruleset; ip link del vxlan-net")
	wantMetric(t, a, "rules and a device were removed", firewall, is(1))
	wantMetric(t, a, "rules and a device were removed", device, is(1))
	if turns := metricsOf(t, a)["vxlan_reconcile_seconds_count"]; turns < 3 {
		t.Errorf("%v turns took some time", turns)
	}

	if hasPrometheus {
		labtest.CreateNetwork(t, l, "secret", "--opt vni=101 --opt encryption=wireguard --subnet 10.0.1.0/24")
		runWebServer(t, a, "da", "--network secret")
		runWebServer(t, b, "db", "--network secret")
		labtest.Within(t, 20*time.Second, a, "podman exec da ping -c1 -W1 db")
		tryDashboard(t, a)
	}
	tryPage(t, a, b)

	// A container's own VXLAN packet is dropped, and counted.
	const toVTEP = `vxlan_drops_total{reason="container_to_vtep"}`
	labtest.Sh(t, a, fmt.Sprintf("nsenter -t $(podman inspect -f '{{.State.Pid}}' ca) -n bash -c 'echo x >/dev/udp/%s/4789'", b.Addr4()))
	wantMetric(t, a, "a container sent VXLAN", toVTEP, atLeast(1))

	labtest.Sh(t, b, "nft 'table inet block { chain in { type filter hook input priority 0; udp dport 4789 drop; }; }'")
	labtest.Sh(t, a, "kill -9 "+agentPID) // the next agent probes at once
	labtest.Within(t, 10*time.Second, a, "test $(grep -c 'serving metrics' /run/vxlan/vxland.log) = 2")
	wantMetric(t, a, "the tunnel is blocked", "vxlan_peer_tunnel_loss_ratio"+peer, is(1))
	labtest.Sh(t, b, "nft delete table inet block; podman rm -f -t0 cb")
	wantMetric(t, a, "the other host left", `vxlan_endpoints{network="net",where="remote"}`, is(0))

	// An address that is taken is no reason for the agent to end.
	serveMetrics(t, a, "unix:/etc/hostname")
	labtest.Sh(t, a, "vxlanctl reload")
	labtest.Within(t, 5*time.Second, a, "grep -q 'cannot serve metrics.*is no socket' /run/vxlan/vxland.log && pgrep -x vxland && test -s /etc/hostname")
	labtest.Sh(t, a, "podman exec ca nslookup ca.dns.podman")
}
