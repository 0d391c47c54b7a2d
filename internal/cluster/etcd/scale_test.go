package etcd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
	"vxlan-driver/internal/kernel"
)

const (
	scaleContainers = 50 // of each host
	// scalePlanes is of how many other hosts there is a whole plane, so that 100 hear of each start. Of the others
	// etcd has the keys, the connection, the watches and the lease.
	scalePlanes   = 101
	loadVar       = "ETCD_SCALE_LOAD" // hosts and URLs, for the process that plays the other hosts
	scalePatience = 5 * time.Minute
)

// TestScale is a measurement: how soon others know a container, what that costs an agent's plane, and etcd.
// It runs a real etcd of three members for each number of hosts.
func TestScale(t *testing.T) {
	list := os.Getenv("ETCD_SCALE")
	if list == "" {
		t.Skip("a measurement; `make etcd-scale` runs it")
	}
	for text := range strings.SplitSeq(list, ",") {
		hosts, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(text, func(t *testing.T) { measureScale(t, hosts) })
	}
}

// scaleCommands are what the other hosts do. Two processors play 1,000 hosts that hear of ten starts a second.
func scaleCommands(hosts int) []string {
	if hosts > 300 {
		return []string{"rest 15", "starts 5 100", "starts 10 100"}
	}
	return []string{"rest 15", "starts 5 100", "starts 50 500"}
}

// measureScale measures among so many hosts.
func measureScale(t *testing.T, hosts int) {
	servers := startServers(t, 3, "--heartbeat-interval", "100", "--election-timeout", "1000")
	servers.connect(t)
	load, loadPID := startLoad(t, hosts, servers.urls())
	measured := newScaleHost(t, 0, servers.urls())
	measured.run(t)
	latencies := new(latencies)
	go measured.watch(t.Context(), latencies)
	waitFor(t, scalePatience, "the plane knows all others", func() bool {
		return measured.knows() >= (hosts-1)*scaleContainers
	})
	t.Logf("%d hosts, of them %d whole planes", hosts, scaleWhole(hosts))
	servers.awaitRest(t)
	for _, command := range scaleCommands(hosts) {
		latencies.take()
		began, cpu, etcdCPU, loadCPU := time.Now(), ownCPU(), servers.cpu(t), cpuOf(t, loadPID)
		told := load(command)
		took := time.Since(began)
		t.Logf("%s: this plane: %s; %.2f %% of a core, heap %.1f MB", command, latencies.take(),
			percent(ownCPU()-cpu, took), heapMB())
		t.Logf("%s: others: %s; %.0f %% of a core", command, told, percent(cpuOf(t, loadPID)-loadCPU, took))
		t.Logf("%s: etcd's three members: %.1f %% of a core together, %v MB resident", command,
			percent(servers.cpu(t)-etcdCPU, took), servers.residentMB(t))
	}
}

func percent(cpu, of time.Duration) float64 { return 100 * cpu.Seconds() / of.Seconds() }

// ownCPU is this process's computing time so far.
func ownCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heapMB() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

// cpu is the members' computing time so far.
func (all etcdServers) cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	for _, s := range all {
		sum += cpuOf(t, s.PID())
	}
	return sum
}

// cpuOf is a process's computing time so far (proc_pid_stat(5)).
func cpuOf(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')'):]))
	for _, text := range fields[12:14] { // in units of USER_HZ
		ticks, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(ticks) * 10 * time.Millisecond
	}
	return sum
}

// awaitRest waits until there is little to do for the members, as after all hosts have published what they have.
func (all etcdServers) awaitRest(t *testing.T) {
	t.Helper()
	waitFor(t, scalePatience, "etcd rests", func() bool {
		before := all.cpu(t)
		time.Sleep(3 * time.Second)
		return all.cpu(t)-before < 450*time.Millisecond
	})
}

func (all etcdServers) residentMB(t *testing.T) (sizes []int) {
	t.Helper()
	for _, s := range all {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
		if err != nil {
			t.Fatal(err)
		}
		pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, pages*os.Getpagesize()/1e6)
	}
	return sizes
}

// latencies are how long it took until a plane knew containers.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// take prints those that were added since the last time.
func (l *latencies) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	if len(all) == 0 {
		return "no starts"
	}
	slices.Sort(all)
	at := func(percent int) float64 {
		return float64(all[min(len(all)-1, len(all)*percent/100)].Microseconds()) / 1000
	}
	return fmt.Sprintf("p50 %.1f, p95 %.1f, p99 %.1f, max %.1f ms of %d", at(50), at(95), at(99), at(100), len(all))
}

// scaleHost is a host with a plane. A container's first name says when its start had ended.
type scaleHost struct {
	*Plane
	number     int
	mu         sync.Mutex
	membership cluster.Membership
}

const namePrefix = "started-"

// scaleMembership is what the n-th host has.
func scaleMembership(n int) cluster.Membership {
	m := cluster.Membership{Network: blue, VTEP: netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), StaticFDB: true,
		View: cluster.NetworkView{Name: "blue", MTU: 1450}}
	for i := range scaleContainers {
		m.Endpoints = append(m.Endpoints, scaleEndpoint(n, i))
	}
	return m
}

func scaleEndpoint(n, i int) cluster.Endpoint {
	return cluster.Endpoint{ContainerID: fmt.Sprintf("%064x", n<<20+i), Names: []string{fmt.Sprintf("c%d-%d", n, i)},
		Addrs: []netip.Addr{scaleAddr(n, i)}, MAC: kernel.MAC{2, byte(n >> 8), byte(n), byte(i >> 16), byte(i >> 8), byte(i)}}
}

func scaleAddr(n, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(10 + i>>14), byte(n >> 2), byte(n<<6) | byte(i>>8&63), byte(i)})
}

func newScaleHost(t *testing.T, n int, urls []string) *scaleHost {
	t.Helper()
	p, err := New(Config{HostID: cluster.HostID{1, byte(n >> 8), byte(n)}, Endpoints: urls,
		HostName: func() string { return fmt.Sprint("host-", n) }})
	if err != nil {
		t.Fatal(err)
	}
	return &scaleHost{Plane: p, number: n, membership: scaleMembership(n)}
}

// run runs the plane until the test ends.
func (h *scaleHost) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	if err := h.Set(cluster.Local{Memberships: []cluster.Membership{h.membership}}); err != nil {
		t.Fatal(err)
	}
}

// knows counts the containers of other hosts that the plane knows.
func (h *scaleHost) knows() (containers int) {
	for _, m := range h.Snapshot().Members(blue) {
		containers += len(m.Endpoints)
	}
	return containers
}

// start claims an address for a container, and publishes it with the time.
func (h *scaleHost) start(i int) error {
	e := scaleEndpoint(h.number, i)
	if taken, err := h.Claim(context.Background(), blue, e.ContainerID, e.Addrs); err != nil || len(taken) > 0 {
		return fmt.Errorf("claim: %v, %w", taken, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Names = append(e.Names, namePrefix+strconv.FormatInt(time.Now().UnixNano(), 10))
	h.membership.Endpoints = append(slices.Clone(h.membership.Endpoints), e)
	return h.Set(cluster.Local{Memberships: []cluster.Membership{h.membership}})
}

// watch notes when this host knows a container of another one.
func (h *scaleHost) watch(ctx context.Context, l *latencies) {
	known := make(map[string]bool)
	var before []*cluster.Member
	for ctx.Err() == nil {
		changed := h.Changed()
		after, now := h.Snapshot().Members(blue), time.Now()
		_, come := cluster.ChangedMembers(before, after)
		before = after
		for _, m := range come {
			for _, e := range m.Endpoints {
				if at, isNew := startOf(e); isNew && !known[e.ContainerID] {
					known[e.ContainerID] = true
					l.add(now.Sub(at))
				}
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// startOf returns when a container's start had ended, if it is one that was started by start.
func startOf(e cluster.Endpoint) (at time.Time, ok bool) {
	if len(e.Names) < 2 {
		return at, false
	}
	ns, err := strconv.ParseInt(strings.TrimPrefix(e.Names[1], namePrefix), 10, 64)
	return time.Unix(0, ns), err == nil
}

// startLoad starts the process that plays the other hosts. It returns how to tell it what to do, which
// returns what it answers.
func startLoad(t *testing.T, hosts int, urls []string) (tell func(string) string, pid int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestScaleLoad$", "-test.timeout=1h")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", loadVar, hosts, strings.Join(urls, " ")), "GOGC=200")
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_, _ = io.Copy(io.Discard, output)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other hosts: %v", err)
		}
	})
	answers := bufio.NewScanner(output)
	answer := func() string {
		if !answers.Scan() {
			t.Fatalf("the other hosts ended: %v", answers.Err())
		}
		return answers.Text()
	}
	if got := answer(); got != "ready" {
		t.Fatalf("the other hosts said %q", got)
	}
	return func(command string) string {
		fmt.Fprintln(input, command)
		return answer()
	}, cmd.Process.Pid
}

// TestScaleLoad is that process.
func TestScaleLoad(t *testing.T) {
	fields := strings.Fields(os.Getenv(loadVar))
	if len(fields) == 0 {
		t.Skip("only TestScale runs it, as a process of its own")
	}
	hosts, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	var planes []*scaleHost
	var follows []func()
	all := new(latencies)
	for n := scaleWhole(hosts) + 1; n < hosts; n++ {
		follows = append(follows, startSketch(t, n, fields[1:]))
	}
	for n := 1; n <= scaleWhole(hosts); n++ {
		h := newScaleHost(t, n, fields[1:])
		h.run(t)
		planes = append(planes, h)
		go h.watch(t.Context(), all)
	}
	for _, h := range planes {
		waitFor(t, scalePatience, "all others are known", func() bool {
			return h.knows() >= (hosts-2)*scaleContainers // all but the one that is measured
		})
	}
	for _, follow := range follows {
		follow()
	}
	fmt.Println("ready")
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		command := strings.Fields(commands.Text())
		rate, _ := strconv.Atoi(command[1])
		if command[0] == "rest" {
			time.Sleep(time.Duration(rate) * time.Second)
			fmt.Println("they rest")
			continue
		}
		count, _ := strconv.Atoi(command[2])
		fmt.Println(startMany(t, planes, all, rate, count))
	}
}

// scaleWhole is of how many other hosts there is a whole plane: so many that know 50,000 containers each do not
// fit into this machine's memory beside the rest.
func scaleWhole(hosts int) int {
	if hosts > 300 {
		return scalePlanes / 5
	}
	return min(hosts-1, scalePlanes)
}

// startMany starts so many containers, on one host after the other.
func startMany(t *testing.T, planes []*scaleHost, all *latencies, rate, count int) string {
	all.take()
	var starts sync.WaitGroup
	began := time.Now()
	for j := range count {
		i := nextContainer
		nextContainer++
		h := planes[i%len(planes)]
		starts.Go(func() {
			if err := h.start(scaleContainers + i); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Until(began.Add(time.Duration(j+1) * time.Second / time.Duration(rate))))
	}
	starts.Wait()
	took := time.Since(began)
	time.Sleep(2 * time.Second)
	return fmt.Sprintf("%s, %.1f starts a second", all.take(), float64(count)/took.Seconds())
}

var nextContainer int

// startSketch writes what the n-th host has. What it returns follows its network as its plane would.
func startSketch(t *testing.T, n int, urls []string) (follow func()) {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: scalePatience, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	lease, err := client.Grant(t.Context(), int64(DefaultLease.Seconds()))
	if err != nil {
		t.Fatal(err)
	}
	keys, id, name, m := record.NewKeys(DefaultPrefix), cluster.HostID{1, byte(n >> 8), byte(n)}, fmt.Sprint("host-", n),
		scaleMembership(n)
	ops := []clientv3.Op{
		clientv3.OpPut(keys.Presence(id), record.Encode(record.Presence{Name: name}), clientv3.WithLease(lease.ID)),
		clientv3.OpPut(keys.NetworkOf(id, blue), "{}"),
		clientv3.OpPut(keys.Membership(blue, id), record.EncodeMembership(name, m)),
	}
	for _, e := range m.Endpoints {
		ops = append(ops, clientv3.OpPut(keys.Endpoint(blue, id, e.ContainerID), record.EncodeEndpoint(e)),
			clientv3.OpPut(keys.Address(blue, e.Addrs[0]), record.Encode(record.Owner{Host: id.String(), HostName: name,
				ContainerID: e.ContainerID})))
	}
	if _, err := client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
		t.Fatal(err)
	}
	ctx := clientv3.WithRequireLeader(t.Context())
	go func() {
		for sleep(ctx, DefaultLease/signsPerLease); ctx.Err() == nil; sleep(ctx, DefaultLease/signsPerLease) {
			_, _ = client.KeepAliveOnce(ctx, lease.ID)
		}
	}()
	return func() { followAsPlane(ctx, client, keys) }
}

// followAsPlane has the watches of a plane.
func followAsPlane(ctx context.Context, client *clientv3.Client, keys record.Keys) {
	for _, prefix := range []string{keys.AllPresence(), keys.AllHosts(blue)} {
		events := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithProgressNotify())
		go func() {
			for range events {
			}
		}()
	}
}

// waitFor waits until something is so.
func waitFor(t *testing.T, patience time.Duration, what string, isSo func() bool) {
	t.Helper()
	for began := time.Now(); !isSo(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("after %v it is not so: %s", patience, what)
		}
	}
}

// TestClaimRate is a measurement: how many addresses of one network twenty hosts get a second.
func TestClaimRate(t *testing.T) {
	if os.Getenv("ETCD_SCALE") == "" {
		t.Skip("a measurement; `make etcd-scale` runs it")
	}
	const hosts = 20
	servers := startServers(t, 3, "--heartbeat-interval", "100", "--election-timeout", "1000")
	servers.connect(t)
	var planes []*scaleHost
	for n := range hosts {
		h := newScaleHost(t, n+1, servers.urls())
		h.membership.Endpoints = nil
		h.run(t)
		planes = append(planes, h)
	}
	for _, h := range planes {
		waitFor(t, scalePatience, "all hosts are there", func() bool {
			return len(h.Snapshot().Members(blue)) == hosts-1
		})
	}
	for _, atOnce := range []int{1, 5} {
		measureClaims(t, servers, planes, atOnce, "each of its own", func(n, worker, i int) netip.Addr {
			return scaleAddr(n*8+worker+atOnce*200, i)
		})
		measureClaims(t, servers, planes, atOnce, "all of the same", func(_, _, i int) netip.Addr {
			return netip.AddrFrom4([4]byte{10, byte(100 + atOnce), byte(i >> 8), byte(i)})
		})
	}
}

// measureClaims has each host claim address after address, so many at once.
func measureClaims(t *testing.T, servers etcdServers, planes []*scaleHost, atOnce int, what string,
	addrOf func(n, worker, i int) netip.Addr) {
	t.Helper()
	var granted, taken latencies
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var workers sync.WaitGroup
	began, etcdCPU := time.Now(), servers.cpu(t)
	for n, h := range planes {
		for worker := range atOnce {
			workers.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					nextMu.Lock()
					id := fmt.Sprintf("%064x", 1<<40+nextContainer)
					nextContainer++
					nextMu.Unlock()
					asked := time.Now()
					lost, err := h.Claim(context.Background(), blue, id, []netip.Addr{addrOf(n, worker, i)})
					switch took := time.Since(asked); {
					case err != nil:
						t.Error(err)
					case len(lost) > 0:
						taken.add(took)
					default:
						granted.add(took)
					}
				}
			})
		}
	}
	workers.Wait()
	took := time.Since(began)
	rate := func(l *latencies) float64 { return float64(len(l.all)) / took.Seconds() }
	t.Logf("%d hosts, %d at once, %s: %.0f granted and %.0f refused a second; etcd's members %.0f %% of a core",
		len(planes), atOnce, what, rate(&granted), rate(&taken), percent(servers.cpu(t)-etcdCPU, took))
	t.Logf("  granted after %s", granted.take())
	t.Logf("  refused after %s", taken.take())
}

var nextMu sync.Mutex
