package ctl

import (
	"fmt"
	"math"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/top"
)

// topColumn is a column that may be sorted by a number.
type topColumn[T any] struct {
	output.Column[T]
	number func(T) (n float64, known bool) // nil: it is sorted by its text
}

// topColumns adds to columns what some are sorted by.
func topColumns[T any](columns []output.Column[T], numbers map[string]func(T) (float64, bool)) (all []topColumn[T]) {
	for _, c := range columns {
		all = append(all, topColumn[T]{c, numbers[c.Heading]})
	}
	return all
}

var topPeerColumns = topColumns(peerColumns, map[string]func(peerRow) (float64, bool){
	"SINCE": func(r peerRow) (float64, bool) { return float64(r.since), r.since > 0 },
	"RTT":   func(r peerRow) (float64, bool) { return float64(r.roundTrip), r.roundTrip > 0 },
	"LOSS":  func(r peerRow) (float64, bool) { return worstLoss(r.paths) },
	"PATH MTU": func(r peerRow) (float64, bool) {
		mtu := leastMTU(r.paths)
		return float64(mtu), mtu >= 0
	},
})

var topEventColumns = topColumns(eventColumns, map[string]func(HostEvent) (float64, bool){
	"TIME": func(e HostEvent) (float64, bool) { return float64(e.Time.Unix()), true },
})

// topNetworkColumns are those of `vxlanctl status` that change, and more of what passes.
var topNetworkColumns = append(
	topColumns(statusColumns("NETWORK", "HERE", "ELSEWHERE", "HOSTS"),
		map[string]func(agentapi.NetworkStatus) (float64, bool){
			"HERE":      func(n agentapi.NetworkStatus) (float64, bool) { return float64(n.Local), true },
			"ELSEWHERE": func(n agentapi.NetworkStatus) (float64, bool) { return float64(n.Remote), true },
			"HOSTS":     func(n agentapi.NetworkStatus) (float64, bool) { return float64(n.Reachable), true },
		}),
	trafficColumn("IN", byteRateText, rateOf(func(r *agentapi.TrafficRates) float64 { return r.ReceivedBytes })),
	trafficColumn("OUT", byteRateText, rateOf(func(r *agentapi.TrafficRates) float64 { return r.SentBytes })),
	trafficColumn("PKT/S IN", roundText, rateOf(func(r *agentapi.TrafficRates) float64 { return r.ReceivedPackets })),
	trafficColumn("PKT/S OUT", roundText, rateOf(func(r *agentapi.TrafficRates) float64 { return r.SentPackets })),
	trafficColumn("DROPPED", roundText, func(t *agentapi.TrafficStatus) (float64, bool) {
		return float64(t.ReceiveDropped + t.SendDropped), true
	}),
)

// statusColumns are some of those of `vxlanctl status`.
func statusColumns(headings ...string) (columns []output.Column[agentapi.NetworkStatus]) {
	for _, heading := range headings {
		for _, c := range statusNetworkColumns {
			if c.Heading == heading {
				columns = append(columns, c)
			}
		}
	}
	return columns
}

// trafficNumber is a number of what passes, which may not be known.
type trafficNumber func(*agentapi.TrafficStatus) (n float64, known bool)

func trafficColumn(heading string, text func(float64) string, of trafficNumber) topColumn[agentapi.NetworkStatus] {
	number := func(n agentapi.NetworkStatus) (float64, bool) {
		if n.Traffic == nil {
			return 0, false
		}
		return of(n.Traffic)
	}
	column := output.Column[agentapi.NetworkStatus]{Heading: heading, Text: func(n agentapi.NetworkStatus) string {
		if n, known := number(n); known {
			return text(n)
		}
		return ""
	}}
	return topColumn[agentapi.NetworkStatus]{column, number}
}

func rateOf(of func(*agentapi.TrafficRates) float64) trafficNumber {
	return func(t *agentapi.TrafficStatus) (float64, bool) {
		if t.Rates == nil {
			return 0, false
		}
		return of(t.Rates), true
	}
}

func roundText(n float64) string { return fmt.Sprint(math.Round(n)) }

// topPane makes a pane of rows. Those with a fault have its colour.
func topPane[T any](title, empty string, columns []topColumn[T], rows []T, level func(T) diagnosis.Level) top.Pane {
	p := top.Pane{Title: title, Empty: empty}
	for _, c := range columns {
		p.Columns = append(p.Columns, top.Column{Heading: c.Heading, Shrinks: c.Shrinks, Wide: c.Wide})
	}
	for _, r := range rows {
		var row top.Row
		if level != nil && (level(r) == diagnosis.Failure || level(r) == diagnosis.Warning) {
			row.Colour = levelColours[level(r)]
		}
		for _, c := range columns {
			cell := top.Cell{Text: c.Text(r)}
			if c.number != nil {
				cell.Number, cell.Known = c.number(r)
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}
