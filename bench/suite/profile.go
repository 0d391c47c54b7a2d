package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/traffic"
)

// profileLoads shows in which part of the kernel a small packet's time is spent. It takes a profile
// of the whole machine with perf, and counts the sender and the receiver.
func (s *Suite) profileLoads(ctx context.Context, systems []*system) (report.Table, error) {
	t := report.Table{Title: "Where a 64-byte UDP packet's time goes", Head: []string{"µs a packet"}}
	perf, err := exec.LookPath("perf")
	if err != nil {
		t.Notes = []string{"Not profiled: this machine has no perf (Debian: linux-perf)."}
		return t, nil
	}
	s.logf("traffic: profiling")
	shares := map[string]map[string]float64{} // part → system → µs
	for _, system := range systems {
		t.Head = append(t.Head, system.name)
		cost, err := system.profileLoad(ctx, perf)
		if err != nil {
			t.Rows, t.Notes = nil, []string{fmt.Sprintf("Not profiled: %v.", err)}
			return t, nil
		}
		for part, µs := range cost {
			if shares[part] == nil {
				shares[part] = map[string]float64{}
			}
			shares[part][system.name] = µs
		}
	}
	for _, part := range append(partNames(), "sum") {
		row := []string{part}
		for _, system := range systems {
			row = append(row, fmt.Sprintf("%.2f", shares[part][system.name]))
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = []string{"CPU time of the sending and the receiving program, in which the kernel's whole path is " +
		"spent here, by the symbol it was sampled in; one run."}
	return t, nil
}

// profileLoad samples both programs while packets are sent, and returns µs a packet by part of the
// kernel.
func (sys *system) profileLoad(ctx context.Context, perf string) (map[string]float64, error) {
	dir, err := os.MkdirTemp("", "vxlan-bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "perf.data")
	const period = 2 * time.Second
	record := exec.CommandContext(ctx, perf, "record", "-q", "-a", "-e", "cpu-clock", "-F", "1999", "-o", data,
		"--", "sleep", fmt.Sprint(period.Seconds()))
	if err := record.Start(); err != nil {
		return nil, err
	}
	r, err := sys.runLoad(ctx, senderProcessor, traffic.Load{Kind: traffic.UDP, Period: period})
	if waitErr := record.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, perf, "report", "-i", data, "--stdio", "-q", "--comm", "probe",
		"-F", "period,symbol", "-g", "none", "--field-separator=|").Output()
	if err != nil {
		return nil, fmt.Errorf("run perf report: %w", err)
	}
	cost := map[string]float64{}
	for symbol, ns := range parseProfile(string(out)) {
		µs := ns / 1e3 / (r.Rate * period.Seconds())
		cost[partOfSymbol(symbol)] += µs
		cost["sum"] += µs
	}
	return cost, nil
}

// parseProfile reads lines of "PERIOD|[k] symbol". A period of the event cpu-clock is nanoseconds.
func parseProfile(text string) map[string]float64 {
	periods := map[string]float64{}
	for line := range strings.Lines(text) {
		period, symbol, ok := strings.Cut(strings.TrimSpace(line), "|")
		ns, err := strconv.ParseFloat(strings.TrimSpace(period), 64)
		fields := strings.Fields(symbol)
		if !ok || err != nil || len(fields) < 2 {
			continue
		}
		name := fields[1]
		if fields[0] != "[k]" {
			name = "user:" + name
		}
		periods[name] += ns
	}
	return periods
}

// symbolParts are the parts of the kernel. A symbol counts as the first that matches.
var symbolParts = []struct {
	name     string
	prefixes []string
}{
	{"programs", []string{"user:"}},
	{"eBPF", []string{"bpf_", "htab_", "__htab", "lookup_nulls", "array_map", "percpu_array"}},
	{"system calls, copying", []string{"entry_", "syscall", "do_syscall", "x64_sys", "__x64_sys", "ksys_", "vfs_",
		"sock_", "rep_movs", "copy_", "_copy", "__sys_", "fdget", "import_", "rw_verify", "new_sync", "inet_sendmsg",
		"inet_recvmsg"}},
	{"VXLAN", []string{"vxlan", "udp_tunnel", "iptunnel", "skb_tunnel", "gro_cell", "encap_"}},
	{"bridge", []string{"br_", "nbp_", "fdb_"}},
	{"netfilter, conntrack", []string{"nf_", "nft_", "ipt_", "ip_vs", "xt_", "__nf_", "conntrack", "hash_conntrack",
		"udp_pkt", "iptable"}},
	{"veth, device, softirq", []string{"veth", "dev_", "__dev_", "netif", "__netif", "net_rx", "net_tx",
		"process_backlog", "enqueue_to", "__napi", "napi_", "handle_softirq", "__do_softirq", "do_softirq",
		"__local_bh", "validate_xmit", "sch_direct", "eth_", "skb_defer"}},
	{"IP, UDP, routing", []string{"ip_", "__ip_", "udp", "__udp", "fib_", "__fib", "inet", "__inet", "rt_", "ipv4",
		"neigh", "arp", "raw", "dst_"}},
	{"buffers, memory", []string{"skb_", "__skb", "kmem", "kfree", "kmalloc", "__kmalloc", "__alloc", "alloc",
		"build_skb", "consume_skb", "napi_alloc", "slab", "___slab", "__slab", "memset", "memcpy", "page_", "put_",
		"get_", "free_"}},
}

const otherPart = "other (locks, scheduler, RCU)"

func partNames() (names []string) {
	for _, p := range symbolParts {
		names = append(names, p.name)
	}
	return append(names, otherPart)
}

func partOfSymbol(symbol string) string {
	for _, p := range symbolParts {
		if slices.ContainsFunc(p.prefixes, func(prefix string) bool { return strings.HasPrefix(symbol, prefix) }) {
			return p.name
		}
	}
	return otherPart
}
