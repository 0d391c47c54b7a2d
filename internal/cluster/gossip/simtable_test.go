package gossip

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// percentiles is one line of the table.
type percentiles struct{ p50, p95, max time.Duration }

func newPercentiles(samples []time.Duration) percentiles {
	slices.Sort(samples)
	at := func(p float64) time.Duration {
		return samples[int(p*float64(len(samples)-1))].Round(10 * time.Microsecond)
	}
	return percentiles{at(0.50), at(0.95), at(1)}
}

func (l percentiles) String() string { return fmt.Sprintf("%10v %10v %10v", l.p50, l.p95, l.max) }

// catchUpTimes returns how long restarted hosts took until they knew all others.
func (s *sim) catchUpTimes() []time.Duration {
	time.Sleep(5 * time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.caughtUp)
}

// simRounds is how many containers are started for each line of the table. The few of the default
// are a test; `make sim` asks for more.
func simRounds(t *testing.T) int {
	t.Helper()
	return numbersFromEnv(t, "SIM_ROUNDS", 10)[0]
}

// numbersFromEnv returns the numbers of an environment variable, or what is meant without it.
func numbersFromEnv(t *testing.T, name string, without ...int) (numbers []int) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// usage is what all hosts of a simulation used up to some time: computing time of this process,
// which has their work and the simulated network's but not the kernel's, and traffic.
type usage struct {
	at  time.Time // virtual
	cpu time.Duration
	traffic
}

func (s *sim) usageSoFar() usage { return usage{time.Now(), cpuTime(s.t), s.net.trafficSoFar()} }

// logUsage prints what one host used since some time.
func (s *sim) logUsage(mode string, before usage) {
	now := s.usageSoFar()
	took := now.at.Sub(before.at).Seconds() * float64(s.count)
	sent := now.traffic.since(before.traffic)
	s.t.Logf("%5d  %-21s %8.3f %% of a core, packets %7.2f/s %8.0f B/s, streams %6.3f/s %8.0f B/s", s.count, mode,
		100*(now.cpu-before.cpu).Seconds()/took,
		float64(sent.packets)/took, float64(sent.packetBytes)/took, float64(sent.writes)/took, float64(sent.streamBytes)/took)
}

// startOften starts containers at a rate, on one host after the other.
func (s *sim) startOften(rate int, lasts time.Duration) {
	for i := range int(lasts.Seconds() * float64(rate)) {
		h := s.hosts[i%len(s.hosts)]
		h.containers = append(h.containers[1:], s.newContainer(h.i))
		h.announceAll()
		time.Sleep(time.Second / time.Duration(rate))
	}
}

// waitUntilAllKnowAll waits for the hosts that have started.
func (s *sim) waitUntilAllKnowAll() {
	begin := time.Now()
	for {
		time.Sleep(time.Second)
		s.mu.Lock()
		behind := len(s.catchingUp)
		s.mu.Unlock()
		if behind == 0 {
			s.t.Logf("%5d  all know all %v after the last start", s.count, time.Since(begin).Round(time.Second))
			return
		}
		if time.Since(begin) > 3*time.Minute {
			s.t.Fatalf("%d of %d hosts do not know all others", behind, s.count)
		}
	}
}

// TestPropagation prints the table. It starts containers on a quiet cluster and on one in which
// hosts restart.
func TestPropagation(t *testing.T) {
	rounds := simRounds(t)
	t.Logf("%5s  %-21s %10s %10s %10s", "hosts", "", "p50", "p95", "max")
	for _, count := range numbersFromEnv(t, "SIM_HOSTS", 3, 25) {
		inVirtualTime(t, func(t *testing.T, n *memnet) {
			n.setLoss(simLoss)
			begin := time.Now()
			heapBefore := heapInUse()
			s := newSim(t, n, count)
			s.waitUntilAllKnowAll()
			time.Sleep(20 * time.Second)
			perHost, records := (heapInUse()-heapBefore)/uint64(count), s.sizeOfRecords()
			t.Logf("%5d  heap %.2f MB a host and %.2f MB of records, which all hosts share here", count,
				(float64(perHost)-float64(records)/float64(count))/1e6, float64(records)/1e6)
			report := func(mode string, samples *[]time.Duration) percentiles {
				s.mu.Lock()
				defer s.mu.Unlock()
				l := newPercentiles(*samples)
				t.Logf("%5d  %-21s %v", count, mode, l)
				*samples, s.caughtUp = nil, nil
				return l
			}
			before := s.usageSoFar()
			time.Sleep(20 * time.Second)
			s.logUsage("at rest", before)
			for range rounds {
				s.measureRound()
				time.Sleep(time.Duration(s.rng.Int64N(int64(time.Second))))
			}
			quiet := report("quiet", &s.samples)
			before = s.usageSoFar()
			s.startOften(50, min(10*time.Second, 2000*time.Second/time.Duration(count)))
			s.logUsage("50 starts a second", before)
			before = s.usageSoFar()
			s.churn(rounds)
			restarted := s.catchUpTimes()
			s.logUsage("churn", before)
			churn := report("churn", &s.samples)
			if len(restarted) > 0 {
				report("a restarted host", &restarted)
			}
			hidden, shown := s.failDetection(min(rounds, 5))
			report("a lost host is hidden", &hidden)
			report("and shown again", &shown)
			t.Logf("%5d  %v of virtual time", count, time.Since(begin).Round(time.Second))
			// Docker's NetworkDB, measured at 25 hosts.
			if quiet.p95 >= time.Second || churn.p95 >= 9800*time.Millisecond {
				t.Errorf("%d hosts: p95 %v, and %v under churn", count, quiet.p95, churn.p95)
			}
		})
	}
}

// sizeOfRecords returns how much memory one host needs for the records of all.
func (s *sim) sizeOfRecords() uint64 {
	s.recordsMu.Lock()
	defer s.recordsMu.Unlock()
	before := heapInUse()
	var copies []wire.Message
	for _, r := range s.records {
		message := wire.Message{Kind: wire.KindRecords, From: r.Key, Records: []wire.AgedRecord{{Record: r}}}.Encode()
		m, err := wire.Decode(message, wire.Supported)
		if err != nil {
			s.t.Fatal(err)
		}
		copies = append(copies, m)
	}
	size := heapInUse() - before
	runtime.KeepAlive(copies)
	return size
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestCostOfAHost measures one of 50 hosts with 50 containers each: its memory, and its computing
// time at rest, without what the kernel spends on its packets.
func TestCostOfAHost(t *testing.T) {
	const hosts, rest = 50, 20 * time.Second
	if raceDetector {
		t.Skip("the race detector needs memory and time of its own")
	}
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		before := heapInUse()
		s := newSim(t, n, hosts)
		time.Sleep(10 * time.Second)
		perHost := (heapInUse() - before) / hosts
		for _, h := range s.hosts {
			if got := len(h.Snapshot().Hosts); got != hosts-1 {
				t.Errorf("%s knows %d hosts", h.cfg.Host.Name(), got)
			}
		}
		t.Logf("heap %.1f MB a host", float64(perHost)/1e6)
		usage := s.usageSoFar()
		time.Sleep(rest)
		s.logUsage("at rest", usage)
		if perHost > 2e6 {
			t.Errorf("a host needs %d bytes", perHost)
		}
	})
}

// cpuTime returns the computing time that this process has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
