package metrics

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"vxlan-driver/internal/agentapi"
)

// collector makes metrics of the agent's report, whenever somebody asks for them.
type collector struct {
	report func() agentapi.StatusReport
}

// Describe implements prometheus.Collector.
func (collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range descriptions {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	s, r := samples{metrics}, c.report()
	s.gauge(buildInfo, 1, r.Version, runtime.Version())
	s.addPeers(r.Clusters)
	for _, n := range r.Networks {
		s.addNetwork(n)
	}
	s.addDrops(r.Drops)
	for kind, n := range r.Repairs {
		s.counter(repairs, n, kind)
	}
	s.addFindings(r)
	s.addQueries(r.Queries)
	s.addTurns(r.Turns)
	s.addKeys(r.KeyIDs)
	for _, cluster := range r.Clusters {
		s.gauge(planeSynced, number(!cluster.Syncing), cluster.Name)
		s.gauge(planeStale, cluster.Stale.Seconds(), cluster.Name)
		s.gauge(planeAlone, number(cluster.Alone), cluster.Name)
		if cluster.Revision > 0 {
			s.gauge(planeBehind, float64(cluster.RevisionsBehind), cluster.Name)
		}
	}
}

// samples takes samples of metrics.
type samples struct{ to chan<- prometheus.Metric }

func (s samples) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s samples) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s samples) addNetwork(n agentapi.NetworkStatus) {
	s.gauge(endpoints, float64(n.Local), n.Name, "local")
	s.gauge(endpoints, float64(n.Remote), n.Name, "remote")
	s.addEncryption(n)
	t := n.Traffic
	if t == nil {
		return
	}
	s.counter(receivedBytes, t.ReceivedBytes, n.Name)
	s.counter(receivedPackets, t.ReceivedPackets, n.Name)
	s.counter(receiveDropped, t.ReceiveDropped+t.ReceiveErrors, n.Name)
	s.counter(sentBytes, t.SentBytes, n.Name)
	s.counter(sentPackets, t.SentPackets, n.Name)
	s.counter(sendDropped, t.SendDropped+t.SendErrors, n.Name)
}

// addDrops adds up the rules of each reason.
func (s samples) addDrops(rules []agentapi.DropStatus) {
	sums := make(map[string]uint64)
	for _, d := range rules {
		sums[d.Reason] += d.Packets
	}
	for reason, packets := range sums {
		s.counter(drops, packets, reason)
	}
}

// addFindings counts what vxlanctl status says in words.
func (s samples) addFindings(r agentapi.StatusReport) {
	s.gauge(addressConflicts, float64(r.AddressConflicts))
	s.gauge(nameConflicts, float64(len(r.Conflicts)-r.AddressConflicts))
	s.gauge(findings, float64(len(r.BlockingChains)), "blocking_chain")
	s.gauge(findings, float64(len(r.Differences)), "difference")
	s.gauge(findings, float64(len(r.Warnings)), "warning")
	s.gauge(findings, float64(len(r.Outdated)), "outdated")
	s.gauge(turnFailed, number(r.Problem != ""))
}

func (s samples) addQueries(q agentapi.QueryCounts) {
	s.counter(queries, q.Answered, "answered")
	s.counter(queries, q.Absent, "absent")
	s.counter(queries, q.Forwarded, "forwarded")
	s.counter(queries, q.Failed, "failed")
	s.counter(queries, q.Refused, "refused")
	s.counter(queries, q.Limited, "limited")
}

// addTurns adds a histogram, whose buckets each contain those before them.
func (s samples) addTurns(d agentapi.DurationCounts) {
	count, buckets := uint64(0), make(map[float64]uint64, len(d.Bounds))
	for i, n := range d.Counts {
		if count += n; i < len(d.Bounds) {
			buckets[d.Bounds[i].Seconds()] = count
		}
	}
	s.to <- prometheus.MustNewConstHistogram(turns, count, d.Sum.Seconds(), buckets)
}

func (s samples) addKeys(ids []string) {
	role := "encrypt"
	for _, id := range ids {
		s.gauge(keyHosts, 1, id, role)
		role = "decrypt"
	}
}
