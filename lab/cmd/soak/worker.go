package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// worker connects and disconnects one container after the other, always in the same network namespace.
type worker struct {
	number    int
	random    *rand.Rand
	networks  []network
	namespace string
	typical   map[string]time.Duration // how long a verb took of late

	calls, killed, failed int
}

func newWorker(seed uint64, number int, networks []network) (*worker, error) {
	w := &worker{
		number: number, networks: networks, namespace: fmt.Sprintf("soak%d", number),
		random:  rand.New(rand.NewPCG(seed, uint64(number)+1)),
		typical: map[string]time.Duration{"setup": 20 * time.Millisecond, "teardown": 50 * time.Millisecond},
	}
	return w, command("ip", "netns", "add", w.namespace)
}

func (w *worker) close() error { return command("ip", "netns", "del", w.namespace) }

// killAgents kills the host's agents, as nobody should; the next call that needs one starts another.
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

// cycle is the life of one container. A killed call is followed by the same call, or by a teardown as after a reboot.
func (w *worker) cycle(number int) {
	config, err := json.Marshal(w.container(number))
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	if w.random.IntN(20) == 0 {
		killAgents()
	}
	ended := w.call("setup", config)
	if ended || w.random.IntN(2) == 0 {
		if !ended {
			w.mustCall("setup", config)
		}
		ended = w.call("teardown", config)
		if !ended && w.random.IntN(2) == 0 {
			w.mustCall("setup", config)
		}
	}
	if !ended || w.random.IntN(10) == 0 { // now and then twice
		w.mustCall("teardown", config)
	}
	if out, err := exec.Command("ip", "-n", w.namespace, "-br", "link").Output(); err != nil || strings.Count(string(out), "\n") != 1 {
		w.fail("cycle %d left in the container: %s %v", number, out, err)
	}
}

// container is netavark's request for a new container on one to three networks.
func (w *worker) container(number int) map[string]any {
	picks := w.random.Perm(len(w.networks))[:[]int{1, 1, 1, 2, 2, 3}[w.random.IntN(6)]]
	options, infos := map[string]any{}, map[string]any{}
	for i, pick := range picks {
		n := w.networks[pick]
		endpoint := map[string]any{"interface_name": fmt.Sprintf("eth%d", i), "static_ips": w.addresses(n)}
		if w.random.IntN(4) == 0 {
			endpoint["static_mac"] = fmt.Sprintf("02:00:00:00:%02x:%02x", pick, w.number)
		}
		options[n.name], infos[n.name] = endpoint, n.config
	}
	return map[string]any{
		"container_id": fmt.Sprintf("%dworker%d", number, w.number), "container_name": fmt.Sprintf("soak-%d", number),
		"networks": options, "network_info": infos, "port_mappings": w.ports(),
	}
}

// addresses are this worker's own in each subnet.
func (w *worker) addresses(n network) []string {
	var all []string
	for _, address := range n.subnets {
		all = append(all, address(10+w.number))
	}
	return all
}

// ports publishes up to three ports, each worker its own, over all protocols and host addresses.
func (w *worker) ports() []map[string]any {
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

// mustCall is a call that is not killed.
func (w *worker) mustCall(verb string, config []byte) {
	w.calls++
	begin := time.Now()
	n := startNetavark(verb, w.namespace, config)
	if err := n.wait(); err != nil {
		w.fail("%s: %v\n%s", verb, err, config)
	} else if bytes.Contains(n.out.Bytes(), []byte("vxlan: ")) { // a warning
		w.fail("%s: %s", verb, n.out.Bytes())
	}
	w.typical[verb] = (3*w.typical[verb] + time.Since(begin)) / 4
}

// call is a call of which every second is killed, so that with those that follow a third of all are; it tells whether the
// call came to its end.
func (w *worker) call(verb string, config []byte) bool {
	if w.random.IntN(2) > 0 {
		w.mustCall(verb, config)
		return true
	}
	w.calls++
	w.killed++
	n := startNetavark(verb, w.namespace, config)
	time.Sleep(time.Duration(w.random.Float64() * float64(w.typical[verb])))
	n.kill(w.random.IntN(3))
	return false
}

func (w *worker) fail(format string, args ...any) {
	w.failed++
	fmt.Fprintf(os.Stderr, "worker %d: %s\n", w.number, fmt.Sprintf(format, args...))
}

func command(argv ...string) error {
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}
