package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vxlan-driver/bench/report"
	"vxlan-driver/lab"
)

// Bounds of the agent: what a host can spare for a program that is idle most of the time.
const (
	agentMemory = 40_000_000 // bytes resident
	agentCPU    = 0.01       // of a core, at rest
)

// measureAgent measures vxland's CPU time and memory at rest, among few hosts and among many, and
// the time from a container's start on one host until the others resolve its name.
func (s *Suite) measureAgent(ctx context.Context) (Result, error) {
	rest, real, err := s.agentAmongFew(ctx)
	if err != nil {
		return Result{}, err
	}
	many, err := s.agentAmongMany(ctx)
	if err != nil {
		return Result{}, err
	}
	simulated, err := s.simulatePropagation(ctx)
	if err != nil {
		return Result{}, err
	}
	all := append(rest, many...)
	known := report.Table{
		Title: "From the end of a container's setup until others know it",
		Head:  []string{"hosts", "", "p50", "p95", "max"},
		Rows:  append([][]string{real}, simulated...),
		Notes: []string{
			"Real: from the plugin's end on one host to the answer of the name server on another, " +
				"in lab hosts on this machine, all else included. Simulated: gossip alone, in virtual time, " +
				"0.25–0.5 ms one way, 1 % of packets lost, 50 containers a host; under churn a tenth of the hosts is " +
				"restarting at any time. The agents add 25 ms to it: 5 ms until a start is told of, " +
				"and 20 ms in which more may change; and a turn, which sets forwarding entries before it answers names. " +
				"Docker's NetworkDB, simulated alike at 25 hosts: p95 1.0 s quiet, 9.8 s under churn.",
		},
	}
	return Result{Tables: []report.Table{compareTable("At rest", all), known}, Comparisons: all}, nil
}

// namesNetwork is a network with names; the argument lists the hosts.
const namesNetwork = `podman network create --driver vxlan --opt vni=100 --opt local_ip=auto --opt physical_interface=eth0 \
	--opt remote_ips=%s --subnet 10.88.0.0/16 --ip-range %s bench >/dev/null`

// agentAmongFew measures on three hosts.
func (s *Suite) agentAmongFew(ctx context.Context) (rest []Comparison, known []string, err error) {
	l, err := s.startLab(ctx, "", 3, s.Agent)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var list []string
	for _, h := range l.Hosts() {
		list = append(list, h.Addr4().String())
	}
	for i, h := range l.Hosts() {
		script := fmt.Sprintf(namesNetwork, strings.Join(list, ","), fmt.Sprintf("10.88.%d.0/24", i)) +
			"\npodman run -d --name stays --network bench busybox sleep 100000"
		if _, err := h.Sh(ctx, script); err != nil {
			return nil, nil, err
		}
	}
	if known, err = s.timeUntilKnown(ctx, l.Hosts()[0], l.Hosts()[1:]); err != nil {
		return nil, nil, err
	}
	rest, err = s.measureIdle(ctx, l.Hosts()[0], "3 hosts, 1 container each")
	return rest, known, err
}

// Simulated hosts have addresses of their own on one of the lab's.
const (
	manyPeers  = 99
	firstPeer  = "198.18.1.1"
	peerSubnet = "198.18.1.0/24"
	benchKey   = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// startPeers is a script that starts the simulated hosts.
const startPeers = `
for i in $(seq %d); do ip address add 198.18.1.$i/32 dev eth0; done
echo %s >/etc/key; chmod 600 /etc/key
GOSSIP_PEERS=%d GOSSIP_FIRST=%s GOSSIP_KEY=/etc/key setsid peers -test.run '^TestPeers$' -test.timeout 0 >/tmp/peers.log 2>&1 </dev/null &
`

// agentAmongMany measures one real agent among 99 simulated ones with 50 containers each.
func (s *Suite) agentAmongMany(ctx context.Context) (rest []Comparison, err error) {
	peers, err := s.buildPeers(ctx)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(peers))
	l, err := s.startLab(ctx, "", 2, s.Agent, peers)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	a, b := l.Hosts()[0], l.Hosts()[1]
	if _, err := b.Sh(ctx, fmt.Sprintf(startPeers, manyPeers, benchKey, manyPeers, firstPeer)); err != nil {
		return nil, err
	}
	list := []string{a.Addr4().String()}
	for i := range manyPeers {
		list = append(list, fmt.Sprintf("198.18.1.%d", i+1))
	}
	_, err = a.Sh(ctx, fmt.Sprintf("ip route add %s via %s; mkdir -p /etc/vxlan; echo %s >/etc/vxlan/key; "+
		"chmod 600 /etc/vxlan/key; echo 'key_file = \"/etc/vxlan/key\"' >/etc/vxlan/vxland.toml\n",
		peerSubnet, b.Addr4(), benchKey)+fmt.Sprintf(namesNetwork, strings.Join(list, ","), "10.88.0.0/24")+`
		for i in $(seq 50); do podman run -d --network bench busybox sleep 100000 >/dev/null; done`)
	if err != nil {
		return nil, err
	}
	// The name of each simulated host's last container ends in their number.
	last := fmt.Sprintf("container-%d.dns.podman", manyPeers*50)
	if _, err := a.Run(ctx, "probe", "resolve", "-for", "60s", "10.88.0.1", last); err != nil {
		return nil, err
	}
	return s.measureIdle(ctx, a, "100 hosts, 50 containers each")
}

// buildPeers builds the program of simulated hosts: the gossip package's tests.
func (s *Suite) buildPeers(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "vxlan-bench")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "peers")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", path, "./internal/cluster/gossip")
	cmd.Dir, cmd.Env = s.Module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("build simulated hosts: %w: %s", err, out), os.RemoveAll(dir))
	}
	return path, nil
}

// resourceUsage is a script that prints the agent's CPU time (hundredths of a second) and resident
// memory (kB).
const resourceUsage = `pid=$(pgrep -x vxland); awk '{print $14+$15}' /proc/$pid/stat; awk '/VmRSS/ {print $2}' /proc/$pid/status`

// measureIdle measures an agent while nothing changes.
func (s *Suite) measureIdle(ctx context.Context, h *lab.Host, among string) ([]Comparison, error) {
	s.logf("agent: at rest among %s", among)
	// A hundred hosts that have just joined in one process take some time to converge.
	const settle, period = 40 * time.Second, 10 * time.Second
	time.Sleep(settle)
	var memory, cpu []float64
	before, _, err := agentUsage(ctx, h)
	for range s.roundCount(5, 3) {
		if err != nil {
			return nil, err
		}
		time.Sleep(period)
		var ticks, bytes float64
		ticks, bytes, err = agentUsage(ctx, h)
		cpu, memory = append(cpu, (ticks-before)/100/period.Seconds()), append(memory, bytes)
		before = ticks
	}
	bound := func(what string, values []float64, limit float64, u Unit) Comparison {
		limits := make([]float64, len(values))
		for i := range limits {
			limits[i] = limit
		}
		return Comparison{What: among + ": " + what, Than: "bound", A: values, B: limits, Unit: u, Target: atMost(1),
			Quick: atMost(1)}
	}
	return []Comparison{
		bound("memory resident", memory, agentMemory, megabytes),
		bound("computing", cpu, agentCPU, percent),
	}, err
}

func agentUsage(ctx context.Context, h *lab.Host) (ticks, bytes float64, err error) {
	out, err := h.Sh(ctx, resourceUsage)
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(out, &ticks, &bytes)
	return ticks, bytes * 1024, err
}

// noteEnd takes the plugin's place. It writes when a setup returned, by the clock that all lab
// hosts share.
const noteEnd = `cd /usr/local/libexec/netavark && mv vxlan ../vxlan.real && cat >vxlan <<'end' && chmod 755 vxlan
#!/bin/sh
/usr/local/libexec/vxlan.real "$@" || exit
[ "$1" != setup ] || date +%s%N >/run/returned
end
`

// timeUntilKnown starts containers on one host and measures until another's name server answers for
// them.
func (s *Suite) timeUntilKnown(ctx context.Context, on *lab.Host, others []*lab.Host) ([]string, error) {
	s.logf("agent: starting containers")
	if _, err := on.Sh(ctx, noteEnd); err != nil {
		return nil, err
	}
	var took []float64 // seconds
	for i := range s.roundCount(50, 10) {
		name := fmt.Sprintf("fresh%d", i)
		answers := make(chan timedAnswer, len(others))
		for _, h := range others {
			go func() {
				out, err := h.Run(ctx, "probe", "resolve", "-for", "20s", "10.88.0.1", name+".dns.podman")
				answers <- timedAnswer{out, err}
			}()
		}
		returned, err := on.Sh(ctx, "podman run -d --name "+name+" --network bench busybox sleep 100000 >/dev/null; "+
			"cat /run/returned")
		if err != nil {
			return nil, err
		}
		for range others {
			a := <-answers
			seconds, err := secondsBetween(returned, a)
			if err != nil {
				return nil, err
			}
			took = append(took, max(0, seconds))
		}
	}
	return append([]string{"3", "real"}, quantiles(took)...), nil
}

type timedAnswer struct {
	at  string
	err error
}

func secondsBetween(returned string, a timedAnswer) (float64, error) {
	if a.err != nil {
		return 0, a.err
	}
	from, err := strconv.ParseInt(strings.TrimSpace(returned), 10, 64)
	if err != nil {
		return 0, err
	}
	to, err := strconv.ParseInt(strings.TrimSpace(a.at), 10, 64)
	return float64(to-from) / 1e9, err
}
