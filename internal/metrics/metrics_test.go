package metrics

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vxlan-driver/internal/agentapi"
)

// registryOf has the metrics of a report.
func registryOf(report agentapi.StatusReport) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{func() agentapi.StatusReport { return report }})
	return registry
}

func host(name string, last byte, reachable bool, paths ...agentapi.PathStatus) agentapi.HostStatus {
	addr := netip.AddrFrom4([4]byte{192, 0, 2, last})
	label := fmt.Sprintf("%s (%v)", name, addr)
	return agentapi.HostStatus{Name: label, HostName: name, Addr: addr, Reachable: reachable, Paths: paths}
}

func path(mtu, sent, answered int) agentapi.PathStatus {
	count := agentapi.FrameCount{Sent: sent, Answered: answered}
	return agentapi.PathStatus{FullSize: 1450, MTU: mtu, Full: count, Small: count, Measured: time.Second}
}

func tunnelTo(name string, last byte, handshake time.Duration, received, sent uint64) agentapi.WireGuardPeer {
	addr := netip.AddrFrom4([4]byte{192, 0, 2, last})
	return agentapi.WireGuardPeer{Host: fmt.Sprintf("%s (%v)", name, addr), VTEP: addr, Reachable: true,
		Handshake:    handshake > 0,
		HandshakeAge: handshake, Received: received, Sent: sent}
}

// full is a report that has everything.
var full = agentapi.StatusReport{
	Version: "1.2", Problem: "no room", Outdated: []string{"a"}, Warnings: []string{"b"}, Differences: []string{"c", "d"},
	Conflicts: []string{"address", "name", "name"}, AddressConflicts: 1, KeyIDs: []string{"1a2b3c4d", "5e6f7a8b"},
	Networks: []agentapi.NetworkStatus{
		{Name: "blue", Local: 2, Remote: 3, Traffic: &agentapi.TrafficStatus{
			ReceivedBytes: 1 << 40, ReceivedPackets: 2, SentBytes: 3, SentPackets: 4,
			ReceiveDropped: 5, SendDropped: 6, ReceiveErrors: 10, SendErrors: 20,
		}},
		{Name: "red", Local: 1, Encryption: &agentapi.EncryptionStatus{Sends: 1, Devices: []agentapi.WireGuardStatus{
			{Device: "wg0-red", Generation: 1, KeyAge: time.Hour, Running: true, Peers: []agentapi.WireGuardPeer{
				tunnelTo("b", 2, 20*time.Second, 100, 10), tunnelTo("d", 4, 0, 0, 296),
			}},
			{Device: "wg1-red", Generation: 2, KeyAge: time.Second, Running: true, Peers: []agentapi.WireGuardPeer{
				tunnelTo("b", 2, time.Second, 7, 8),
			}},
		}}},
		{Name: "green", Encryption: &agentapi.EncryptionStatus{Problem: "no"}},
	},
	Drops: []agentapi.DropStatus{
		{Reason: "isolation", Comment: "a", Packets: 2}, {Reason: "isolation", Comment: "b", Packets: 3}, {Reason: "gateway"},
	},
	Repairs: map[string]uint64{"firewall": 1, "device": 0},
	Queries: agentapi.QueryCounts{Answered: 1, Absent: 2, Forwarded: 3, Failed: 4, Refused: 5, Limited: 6},
	Turns: agentapi.DurationCounts{
		Bounds: []time.Duration{time.Millisecond, time.Second}, Counts: []uint64{3, 2, 1}, Sum: 10 * time.Second,
	},
	Clusters: []agentapi.ClusterStatus{
		{Name: "192.0.2.1", Hosts: []agentapi.HostStatus{
			host("b", 2, true, path(1450, 10, 9), path(1402, 4, 1)),
			host("c", 3, false),
			host("d", 4, true, path(0, 5, 0)),
			host("b", 2, false), // its ID of before
		}},
		{Name: "192.0.2.99", Syncing: true, Alone: true, Stale: 90 * time.Second},
		{Name: "etcd", Revision: 40, RevisionsBehind: 2},
	},
}

func TestMetricsFollowTheReport(t *testing.T) {
	full := full
	full.Clusters = slices.Clone(full.Clusters)
	full.Clusters[0].Hosts = slices.Clone(full.Clusters[0].Hosts)
	b, d := &full.Clusters[0].Hosts[0], &full.Clusters[0].Hosts[2]
	b.RoundTrip, b.RoundTripAge, b.ReachableFor = 250*time.Microsecond, 2*time.Second, time.Hour
	d.ReachableFor = time.Minute // by TCP alone
	const want = `
vxlan_address_conflicts 1
vxlan_build_info{goversion="GO",version="1.2"} 1
vxlan_control_plane_alone{cluster="192.0.2.1"} 0
vxlan_control_plane_alone{cluster="192.0.2.99"} 1
vxlan_control_plane_alone{cluster="etcd"} 0
vxlan_control_plane_behind_revisions{cluster="etcd"} 2
vxlan_control_plane_stale_seconds{cluster="192.0.2.1"} 0
vxlan_control_plane_stale_seconds{cluster="192.0.2.99"} 90
vxlan_control_plane_stale_seconds{cluster="etcd"} 0
vxlan_control_plane_synced{cluster="192.0.2.1"} 1
vxlan_control_plane_synced{cluster="192.0.2.99"} 0
vxlan_control_plane_synced{cluster="etcd"} 1
vxlan_dns_queries_total{result="absent"} 2
vxlan_dns_queries_total{result="answered"} 1
vxlan_dns_queries_total{result="failed"} 4
vxlan_dns_queries_total{result="forwarded"} 3
vxlan_dns_queries_total{result="limited"} 6
vxlan_dns_queries_total{result="refused"} 5
vxlan_drops_total{reason="gateway"} 0
vxlan_drops_total{reason="isolation"} 5
vxlan_encryption_failed{network="green"} 1
vxlan_encryption_failed{network="red"} 0
vxlan_endpoints{network="blue",where="local"} 2
vxlan_endpoints{network="blue",where="remote"} 3
vxlan_endpoints{network="green",where="local"} 0
vxlan_endpoints{network="green",where="remote"} 0
vxlan_endpoints{network="red",where="local"} 1
vxlan_endpoints{network="red",where="remote"} 0
vxlan_findings{kind="blocking_chain"} 0
vxlan_findings{kind="difference"} 2
vxlan_findings{kind="outdated"} 1
vxlan_findings{kind="warning"} 1
vxlan_key_hosts{key="1a2b3c4d",role="encrypt"} 1
vxlan_key_hosts{key="5e6f7a8b",role="decrypt"} 1
vxlan_name_conflicts 2
vxlan_network_receive_bytes_total{network="blue"} 1.099511627776e+12
vxlan_network_receive_dropped_packets_total{network="blue"} 15
vxlan_network_receive_packets_total{network="blue"} 2
vxlan_network_transmit_bytes_total{network="blue"} 3
vxlan_network_transmit_dropped_packets_total{network="blue"} 26
vxlan_network_transmit_packets_total{network="blue"} 4
vxlan_peer_rtt_age_seconds{address="192.0.2.2",peer="b"} 2
vxlan_peer_rtt_age_seconds{address="192.0.2.4",peer="d"} 60
vxlan_peer_rtt_seconds{address="192.0.2.2",peer="b"} 0.00025
vxlan_peer_tunnel_loss_ratio{address="192.0.2.2",peer="b"} 0.75
vxlan_peer_tunnel_loss_ratio{address="192.0.2.4",peer="d"} 1
vxlan_peer_tunnel_mtu_deficit_bytes{address="192.0.2.2",peer="b"} 48
vxlan_peer_tunnel_mtu_deficit_bytes{address="192.0.2.4",peer="d"} 0
vxlan_peer_up{address="192.0.2.2",peer="b"} 1
vxlan_peer_up{address="192.0.2.3",peer="c"} 0
vxlan_peer_up{address="192.0.2.4",peer="d"} 1
vxlan_peers{state="reachable"} 2
vxlan_peers{state="unreachable"} 1
vxlan_reconcile_failed 1
vxlan_reconcile_seconds_bucket{le="0.001"} 3
vxlan_reconcile_seconds_bucket{le="1"} 5
vxlan_reconcile_seconds_bucket{le="+Inf"} 6
vxlan_reconcile_seconds_sum 10
vxlan_reconcile_seconds_count 6
vxlan_repairs_total{kind="device"} 0
vxlan_repairs_total{kind="firewall"} 1
vxlan_wireguard_handshake_age_seconds{address="192.0.2.2",network="red",peer="b"} 20
vxlan_wireguard_key_age_seconds{device="wg0-red",network="red"} 3600
vxlan_wireguard_key_age_seconds{device="wg1-red",network="red"} 1
vxlan_wireguard_receive_bytes_total{address="192.0.2.2",network="red",peer="b"} 107
vxlan_wireguard_receive_bytes_total{address="192.0.2.4",network="red",peer="d"} 0
vxlan_wireguard_session{address="192.0.2.2",network="red",peer="b"} 1
vxlan_wireguard_session{address="192.0.2.4",network="red",peer="d"} 0
vxlan_wireguard_transmit_bytes_total{address="192.0.2.2",network="red",peer="b"} 18
vxlan_wireguard_transmit_bytes_total{address="192.0.2.4",network="red",peer="d"} 296
`
	got := scrape(t, registryOf(full))
	if want := strings.ReplaceAll(want[1:], "GO", runtime.Version()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Prometheus' own linter has nothing to say.
func TestMetricsPassTheLinter(t *testing.T) {
	for name, report := range map[string]agentapi.StatusReport{"full": full, "empty": {}} {
		problems, err := testutil.GatherAndLint(registryOf(report))
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
	}
}

// Each metric of the list is served where there is something to say.
func TestEachMetricIsServed(t *testing.T) {
	full := full
	full.Clusters = slices.Clone(full.Clusters)
	full.Clusters[0].Hosts = slices.Clone(full.Clusters[0].Hosts)
	full.Clusters[0].Hosts[0].RoundTrip = time.Millisecond
	families, err := registryOf(full).Gather()
	if err != nil || len(families) != len(descriptions) {
		t.Errorf("%d metrics are described and %d are served; %v", len(descriptions), len(families), err)
	}
}

// A thousand hosts are five thousand series, and no network or container multiplies them.
func TestSeriesGrowWithHostsOnly(t *testing.T) {
	series := func(hosts, networks int) int {
		var r agentapi.StatusReport
		c := agentapi.ClusterStatus{Name: "192.0.2.1"}
		for i := range hosts {
			h := agentapi.HostStatus{HostName: fmt.Sprint("h", i), RoundTrip: 1, Reachable: true}
			for range networks {
				h.Paths = append(h.Paths, path(1450, 1, 1))
			}
			c.Hosts = append(c.Hosts, h)
		}
		r.Clusters = append(r.Clusters, c)
		for i := range networks {
			n := agentapi.NetworkStatus{Name: fmt.Sprint("n", i), Local: 1000, Remote: 50_000, Traffic: new(agentapi.TrafficStatus)}
			r.Networks = append(r.Networks, n)
		}
		return strings.Count(scrape(t, registryOf(r)), "\n")
	}
	base := series(0, 0)
	for _, tt := range []struct{ hosts, networks, want int }{{1000, 0, 3000}, {1000, 10, 5080}, {0, 10, 80}} {
		if got := series(tt.hosts, tt.networks) - base; got != tt.want {
			t.Errorf("%d hosts and %d networks: %d series, want %d", tt.hosts, tt.networks, got, tt.want)
		}
	}
}
