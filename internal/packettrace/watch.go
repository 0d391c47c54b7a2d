package packettrace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Match selects packets that are followed.
type Match struct {
	Family     string // inet, bridge or netdev
	Device     string // where packets come in; only of netdev
	Expression string // of nftables, such as `ip saddr 10.0.0.2`
}

const (
	// tablePrefix begins the name of the table with the rules that make the kernel report. Each trace
	// has its own. It goes with the nft that made it (flag owner), so nothing is left even if this
	// program is killed.
	tablePrefix = "vxlan-driver-trace-"
	// priority is before all rules that can drop a packet.
	priority = -500
	// perSecond limits how many packets a rule has reported. A busy network has millions, and each
	// is reported once for each rule that it passes.
	perSecond = 200
	// startTimeout is long for what takes some 50 ms.
	startTimeout = 5 * time.Second
)

// probe is a packet of this program's, to an address of the loopback device that nobody uses. As
// soon as it is reported, others are.
var probe = &net.UDPAddr{IP: net.IPv4(127, 86, 88, 1), Port: 9}

// traces numbers the traces of this process.
var traces atomic.Uint32

// Watch reports what happens to packets that match, until ctx is done. It calls ready as soon as
// all are reported.
func Watch(ctx context.Context, matches []Match, ready func(), each func(Event)) error {
	caller := ctx
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	rules, err := startNft(ctx, "-i")
	if err != nil {
		return err
	}
	defer rules.Stop()
	if err := rules.Type(traceScript(fmt.Sprintf("%s%d-%d", tablePrefix, os.Getpid(), traces.Add(1)),
		matches)); err != nil {
		return err
	}
	monitor, err := startNft(ctx, "monitor", "trace")
	if err != nil {
		return err
	}
	defer monitor.Stop()
	conn, err := net.DialUDP("udp4", nil, probe)
	if err != nil {
		return fmt.Errorf("trace packets: %w", err)
	}
	defer conn.Close()
	started := make(chan struct{})
	timer := time.AfterFunc(startTimeout, cancel)
	go sendProbes(ctx, conn, started)
	probeIDs := make(map[string]bool)
	for monitor.lines.Scan() {
		e, ok := parseEvent(monitor.lines.Text())
		switch {
		case !ok || probeIDs[e.ID] && e.Packet == nil:
		case isProbe(e):
			probeIDs[e.ID] = true
			if timer.Stop() {
				close(started)
				ready()
			}
		case !strings.HasPrefix(e.Table, tablePrefix) || e.Packet != nil:
			delete(probeIDs, e.ID) // the kernel uses an ID again
			each(e)
		}
	}
	timer.Stop()
	return endError(caller, started, errors.Join(rules.Error(), monitor.Error()))
}

// endError says why no more is reported. It is no error if the caller wanted that.
func endError(caller context.Context, started <-chan struct{}, said error) error {
	select {
	case <-started:
		if caller.Err() != nil {
			return nil
		}
	default:
		if caller.Err() != nil {
			return caller.Err()
		}
	}
	return fmt.Errorf("trace packets: nft reports none: %w", cmp.Or(said, errors.New("it says nothing more")))
}

// sendProbes sends until one was reported. Errors show by that none is.
func sendProbes(ctx context.Context, conn net.Conn, started <-chan struct{}) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, _ = conn.Write([]byte("vxlanctl"))
		select {
		case <-started:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func isProbe(e Event) bool {
	return e.Packet != nil && e.Packet.Dst.Is4() && net.IP(e.Packet.Dst.AsSlice()).Equal(probe.IP)
}

// traceScript returns the commands that make the kernel report.
func traceScript(table string, matches []Match) string {
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, family := range []string{"inet", "bridge", "netdev"} {
		add("add table %s %s { flags owner; }", family, table)
		for _, h := range hooksOf(family, matches) {
			add("add chain %s %s %s { type filter hook %s priority %d; }", family, table, h.chain, h.hook, priority)
			for _, m := range matches {
				if m.Family == family && m.Device == h.device {
					add("add rule %s %s %s %s limit rate %d/second burst 50 packets meta nftrace set 1", family, table, h.chain,
						m.Expression, perSecond)
				}
			}
		}
	}
	add("add rule inet %s output ip daddr %s udp dport %d meta nftrace set 1", table, probe.IP, probe.Port)
	return b.String()
}

// hook is where packets are looked at.
type hook struct{ chain, hook, device string }

func hooksOf(family string, matches []Match) (hooks []hook) {
	if family != "netdev" {
		return []hook{{"prerouting", "prerouting", ""}, {"output", "output", ""}}
	}
	for _, m := range matches {
		known := slices.ContainsFunc(hooks, func(h hook) bool { return h.device == m.Device })
		if m.Family == family && !known {
			hooks = append(hooks, hook{fmt.Sprintf("in%d", len(hooks)), fmt.Sprintf("ingress device %q", m.Device), m.Device})
		}
	}
	return hooks
}
