package agent

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/kernel"
)

const (
	// minRateTime is the least time that a rate is of. Of a shorter one, a single packet makes much.
	minRateTime = time.Second
	// maxRateTime is the most. Whoever asks wants to know what goes on now.
	maxRateTime = time.Minute
	// quickRateTime is how long somebody waits for a rate where there is none of before.
	quickRateTime = 500 * time.Millisecond
)

// trafficMeter reads what the kernel counts, when somebody asks, and makes rates of two readings.
type trafficMeter struct {
	read func(links []string) (kernel.Counters, error) // nil: nothing is counted

	mu     sync.Mutex
	base   counterReading // the rates are of the time since then
	latest counterReading
}

// counterReading is what had been counted at a time of package boottime.
type counterReading struct {
	at time.Time
	kernel.Counters
}

// trafficReport is what was counted until now.
type trafficReport struct {
	byNetwork map[string]*agentapi.TrafficStatus // by the network's name
	drops     []agentapi.DropStatus
}

// Report returns what the networks' devices and the firewall have counted. Devices has their names,
// by the names of the networks. If rates are wanted it may wait for them.
func (m *trafficMeter) Report(ctx context.Context, devices map[string]string,
	wantRates bool) (report trafficReport, err error) {
	if m.read == nil {
		return report, nil
	}
	names := slices.Sorted(maps.Values(devices))
	now, err := m.readNow(names)
	if err != nil {
		return report, err
	}
	base := m.baseFor(now)
	if wantRates && base.at.IsZero() {
		select {
		case <-time.After(quickRateTime):
		case <-ctx.Done():
		}
		base = now
		if now, err = m.readNow(names); err != nil {
			return report, err
		}
	}
	report.byNetwork = make(map[string]*agentapi.TrafficStatus)
	for network, name := range devices {
		if l, exists := now.Links[name]; exists {
			report.byNetwork[network] = trafficStatus(l)
			if before, known := base.Links[name]; known {
				report.byNetwork[network].Rates = ratesOf(before, l, now.at.Sub(base.at))
			}
		}
	}
	for _, d := range now.Drops {
		report.drops = append(report.drops, agentapi.DropStatus(d))
	}
	return report, nil
}

func (m *trafficMeter) readNow(names []string) (counterReading, error) {
	counters, err := m.read(names)
	return counterReading{boottime.Now(), counters}, err
}

// baseFor keeps a reading, and returns the one that its rates are of the time since; one of time
// zero if there are none.
func (m *trafficMeter) baseFor(now counterReading) counterReading {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.at.Sub(m.latest.at) >= minRateTime {
		m.base, m.latest = m.latest, now
	}
	if now.at.Sub(m.base.at) > maxRateTime {
		return counterReading{}
	}
	return m.base
}

func trafficStatus(l kernel.LinkCounters) *agentapi.TrafficStatus {
	return &agentapi.TrafficStatus{
		ReceivedBytes: l.ReceivedBytes, ReceivedPackets: l.ReceivedPackets,
		SentBytes: l.SentBytes, SentPackets: l.SentPackets,
		ReceiveDropped: l.ReceiveDropped, SendDropped: l.SendDropped,
		ReceiveErrors: l.ReceiveErrors, SendErrors: l.SendErrors,
	}
}

// ratesOf returns the rates between two readings, or nil if the device was made anew between them.
func ratesOf(before, after kernel.LinkCounters, over time.Duration) *agentapi.TrafficRates {
	if after.ReceivedPackets < before.ReceivedPackets || after.SentPackets < before.SentPackets || over <= 0 {
		return nil
	}
	rate := func(before, after uint64) float64 { return float64(after-before) / over.Seconds() }
	return &agentapi.TrafficRates{
		Over:            over,
		ReceivedBytes:   rate(before.ReceivedBytes, after.ReceivedBytes),
		ReceivedPackets: rate(before.ReceivedPackets, after.ReceivedPackets),
		SentBytes:       rate(before.SentBytes, after.SentBytes), SentPackets: rate(before.SentPackets, after.SentPackets),
	}
}
