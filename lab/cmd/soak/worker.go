package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// worker connects and disconnects one container after the other, always in the same network
// namespace.
type worker struct {
	number         int
	random         *rand.Rand
	networks       []network
	namespace      string
	recentDuration map[string]time.Duration // by verb

	calls, killed, abandoned, failed int
	slow                             int // calls that warned of a slow agent, which is no failure
}

func newWorker(seed uint64, number int, networks []network) (*worker, error) {
	w := &worker{
		number: number, networks: networks, namespace: fmt.Sprintf("soak%d", number),
		random:         rand.New(rand.NewPCG(seed, uint64(number)+1)),
		recentDuration: map[string]time.Duration{"setup": 20 * time.Millisecond, "teardown": 50 * time.Millisecond},
	}
	return w, runCommand("ip", "netns", "add", w.namespace)
}

func (w *worker) removeNamespace() error { return runCommand("ip", "netns", "del", w.namespace) }

// killAgents kills the host's agents. The next call that needs one starts another.
func killAgents() {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range names {
		name, _ := os.ReadFile(path)
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/comm", &pid); err == nil && string(name) == "vxland\n" {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// runCycle connects and disconnects one container. A killed call is followed by the same call, or
// by a teardown, as after a reboot.
func (w *worker) runCycle(number int) {
	config, err := json.Marshal(w.containerRequest(number))
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	if w.random.IntN(20) == 0 {
		killAgents()
	}
	ended := w.callMaybeKilled("setup", config)
	if w.random.IntN(15) == 0 {
		w.abandonContainer()
		return
	}
	if ended || w.random.IntN(2) == 0 {
		if !ended {
			w.callToEnd("setup", config)
		}
		ended = w.callMaybeKilled("teardown", config)
		if !ended && w.random.IntN(2) == 0 {
			w.callToEnd("setup", config)
		}
	}
	if !ended || w.random.IntN(10) == 0 { // now and then twice
		w.callToEnd("teardown", config)
	}
	if out, err := exec.Command("ip", "-n", w.namespace, "-br", "link").Output(); err != nil ||
		strings.Count(string(out), "\n") != 1 {
		w.reportFailure("cycle %d left in the container: %s %v", number, out, err)
	}
}

// abandonContainer takes the container's namespace away, and nobody tears the container down. Its
// record is for the agent or the next start to drop.
func (w *worker) abandonContainer() {
	w.abandoned++
	if err := errors.Join(w.removeNamespace(), runCommand("ip", "netns", "add", w.namespace)); err != nil {
		w.reportFailure("abandon the container: %v", err)
	}
}

// containerRequest is netavark's request for a new container on one to three networks.
func (w *worker) containerRequest(number int) map[string]any {
	picks := w.random.Perm(len(w.networks))[:[]int{1, 1, 1, 2, 2, 3}[w.random.IntN(6)]]
	options, infos := map[string]any{}, map[string]any{}
	for i, pick := range picks {
		n := w.networks[pick]
		endpoint := map[string]any{"interface_name": fmt.Sprintf("eth%d", i), "static_ips": w.ownAddresses(n)}
		if w.random.IntN(4) == 0 {
			endpoint["static_mac"] = fmt.Sprintf("02:00:00:00:%02x:%02x", pick, w.number)
		}
		options[n.name], infos[n.name] = endpoint, n.config
	}
	return map[string]any{
		"container_id": fmt.Sprintf("%dworker%d", number, w.number), "container_name": fmt.Sprintf("soak-%d", number),
		"networks": options, "network_info": infos, "port_mappings": w.randomPorts(),
	}
}

// ownAddresses returns this worker's address in each subnet.
func (w *worker) ownAddresses(n network) []string {
	var all []string
	for _, address := range n.subnets {
		all = append(all, address(10+w.number))
	}
	return all
}

// randomPorts publishes up to three ports, each worker its own, over all protocols and host
// addresses.
func (w *worker) randomPorts() []map[string]any {
	ports := []map[string]any{}
	for i := range w.random.IntN(4) {
		ports = append(ports, map[string]any{
			"container_port": 80, "host_port": 20000 + 100*w.number + 10*i, "range": 1 + w.random.IntN(5),
			"protocol": []string{"tcp", "udp", "sctp"}[w.random.IntN(3)],
			"host_ip":  []string{"", "", "0.0.0.0", "127.0.0.1", "::", "198.18.0.11"}[w.random.IntN(6)],
		})
	}
	return ports
}

// slowAgent is what a start warns of that the agent does not answer within two seconds. While the agent
// repairs the networks of five killed calls, a turn can take more than one, and a start may wait for two.
// At most one of maxSlowPart calls may find that.
const (
	slowAgent   = "vxland is slow"
	maxSlowPart = 50
)

// callToEnd makes a call that must succeed.
func (w *worker) callToEnd(verb string, config []byte) {
	w.calls++
	begin := time.Now()
	n := startNetavark(verb, w.namespace, config)
	if err := n.waitForExit(); err != nil {
		w.reportFailure("%s: %v\n%s", verb, err, config)
	} else if warnings := unexpectedWarnings(n.out.String()); strings.Contains(warnings, slowAgent) {
		w.slow++
	} else if warnings != "" {
		w.reportFailure("%s: %s", verb, warnings)
	}
	w.recentDuration[verb] = (3*w.recentDuration[verb] + time.Since(begin)) / 4
}

// unexpectedWarnings are the plugin's, except of containers that a worker abandoned.
func unexpectedWarnings(output string) string {
	var found strings.Builder
	for line := range strings.Lines(output) {
		if strings.Contains(line, "vxlan: ") && !strings.Contains(line, "which was never torn down") {
			found.WriteString(line)
		}
	}
	return found.String()
}

// callMaybeKilled makes a call and kills every second one, which is a third of all calls. It tells
// whether the call was completed.
func (w *worker) callMaybeKilled(verb string, config []byte) bool {
	if w.random.IntN(2) > 0 {
		w.callToEnd(verb, config)
		return true
	}
	w.calls++
	w.killed++
	n := startNetavark(verb, w.namespace, config)
	time.Sleep(time.Duration(w.random.Float64() * float64(w.recentDuration[verb])))
	n.killProcesses(w.random.IntN(3))
	return false
}

func (w *worker) reportFailure(format string, args ...any) {
	w.failed++
	fmt.Fprintf(os.Stderr, "worker %d: %s\n", w.number, fmt.Sprintf(format, args...))
}

func runCommand(argv ...string) error {
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}
