package metrics

import "github.com/prometheus/client_golang/prometheus"

// describe describes a metric. Its labels are bounded by hosts and networks: never by containers,
// which come and go.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("vxlan_"+name, help, labels, nil)
}

// The metrics. Their names, labels and the values of labels are in docs/user/metrics.md, and stay.
var (
	buildInfo = describe("build_info", "1; the version is a label.", "version", "goversion")

	peers   = describe("peers", "Other hosts that are known, by state: reachable or unreachable.", "state")
	peerUp  = describe("peer_up", "1 if the agent of the other host answers, else 0.", "peer", "address")
	peerRTT = describe("peer_rtt_seconds",
		"Round trip of the last message between the agents that was answered.", "peer", "address")
	peerRTTAge = describe("peer_rtt_age_seconds",
		"For how long an agent that is reachable has answered no message by UDP.", "peer", "address")

	tunnelLoss = describe("peer_tunnel_loss_ratio",
		"Part of the probes through the tunnel that were lost in ten minutes, on the worst network.", "peer", "address")
	tunnelMTUDeficit = describe("peer_tunnel_mtu_deficit_bytes",
		"By how much the largest frame that passes is smaller than the MTU, on the worst network.", "peer", "address")

	receivedBytes = describe("network_receive_bytes_total",
		"Bytes that the VXLAN device or eBPF programs received.", "network")
	receivedPackets = describe("network_receive_packets_total",
		"Packets that the VXLAN device or eBPF programs received.", "network")
	receiveDropped = describe("network_receive_dropped_packets_total",
		"Packets that the VXLAN device received and dropped, errors included.", "network")
	sentBytes = describe("network_transmit_bytes_total",
		"Bytes that the VXLAN device or eBPF programs sent.", "network")
	sentPackets = describe("network_transmit_packets_total",
		"Packets that the VXLAN device or eBPF programs sent.", "network")
	sendDropped = describe("network_transmit_dropped_packets_total",
		"Packets that the VXLAN device was to send and dropped, errors included.", "network")
	endpoints = describe("endpoints",
		"Containers of a network: local ones are on this host, remote ones on others.", "network", "where")

	encryptionFailed = describe("encryption_failed",
		"1 if nothing of an encrypted network leaves, or its WireGuard device is not in order, else 0.", "network")
	keyAge        = describe("wireguard_key_age_seconds", "Age of the key of a WireGuard device.", "network", "device")
	tunnelSession = describe("wireguard_session",
		"1 if there is a WireGuard session with a host whose agent answers, else 0.", "network", "peer", "address")
	handshakeAge = describe("wireguard_handshake_age_seconds",
		"Time since the last WireGuard handshake with the other host.", "network", "peer", "address")
	tunnelReceived = describe("wireguard_receive_bytes_total",
		"Encrypted bytes that came from the other host.", "network", "peer", "address")
	tunnelSent = describe("wireguard_transmit_bytes_total",
		"Encrypted bytes that were sent to the other host.", "network", "peer", "address")

	drops   = describe("drops_total", "Packets that the driver's firewall rules dropped, by reason.", "reason")
	repairs = describe("repairs_total",
		"What other programs altered in the kernel and the agent put right, by kind.", "kind")

	addressConflicts = describe("address_conflicts", "Addresses that two containers have.")
	nameConflicts    = describe("name_conflicts", "Names that two containers have.")
	findings         = describe("findings",
		"What is wrong on this host or differs from others, by kind; vxlanctl status says what.", "kind")

	queries = describe("dns_queries_total", "Queries for names, by how they were answered.", "result")
	turns   = describe("reconcile_seconds",
		"How long the agent took to compare the kernel with what should be.")
	turnFailed = describe("reconcile_failed",
		"1 if the host could not be configured fully and the agent tries again, else 0.")
	keyHosts = describe("key_hosts",
		"1 for each key that this host uses. The sum over hosts is how many have the key.", "key", "role")
	planeSynced = describe("control_plane_synced",
		"1 if it is known what the other hosts have, else 0.", "cluster")
	planeStale = describe("control_plane_stale_seconds",
		"For how long there has been no contact to any other host.", "cluster")
	planeAlone = describe("control_plane_alone",
		"1 if there are other hosts to ask and none has answered, else 0.", "cluster")
	planeBehind = describe("control_plane_behind_revisions",
		"How many changes the servers have that this host does not know yet.", "cluster")
	descriptions = []*prometheus.Desc{
		buildInfo, peers, peerUp, peerRTT, peerRTTAge, tunnelLoss, tunnelMTUDeficit,
		receivedBytes, receivedPackets, receiveDropped, sentBytes, sentPackets, sendDropped, endpoints,
		encryptionFailed, keyAge, tunnelSession, handshakeAge, tunnelReceived, tunnelSent,
		drops, repairs, addressConflicts, nameConflicts, findings,
		queries, turns, turnFailed, keyHosts, planeSynced, planeStale, planeAlone, planeBehind,
	}
)
