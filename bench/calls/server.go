package calls

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Serve runs orders until there are no more.
func Serve(in io.Reader, out io.Writer) error {
	orders, answers := json.NewDecoder(in), json.NewEncoder(out)
	var s server
	for {
		var o Order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read order: %w", err)
		}
		answer, err := s.runOrder(o)
		if err != nil {
			answer.Error = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
}

// server is the state between orders.
type server struct {
	network  network
	measured string // namespace of the container that comes and goes
	others   int
}

func (s *server) runOrder(o Order) (Answer, error) {
	switch {
	case o.Open != nil:
		return Answer{}, s.openNetwork(*o.Open)
	case o.Fill != nil:
		return Answer{}, s.startOthers(o.Fill.Others)
	case o.Cycle != nil:
		return s.measureCycle(o.Cycle.Ports)
	case o.Exec != nil:
		cost, err := runMeasured(o.Exec.Stdin, o.Exec.Argv...)
		return Answer{Exec: cost}, err
	case o.Peak != nil:
		bytes, err := s.measurePeak(o.Peak.Plugin)
		return Answer{Peak: bytes}, err
	}
	return Answer{}, errors.New("empty order")
}

func (s *server) openNetwork(o Open) (err error) {
	if s.network, err = parseNetwork(o); err != nil {
		return err
	}
	s.measured, err = makeNamespace("bench")
	return err
}

func (s *server) startOthers(others int) error {
	for ; s.others < others; s.others++ {
		ns, err := makeNamespace(fmt.Sprintf("other%d", s.others))
		if err != nil {
			return err
		}
		c := container{number: s.others + 1, ports: 1}
		if _, err := s.callNetavark("setup", ns, c); err != nil {
			return err
		}
	}
	return nil
}

// containerLifetime is how long the measured container runs. Podman takes longer from the setup to
// the end of the program, and to the next setup. So what goes on after a setup must not fall into
// the teardown.
const containerLifetime = 60 * time.Millisecond

// measureCycle uses the same namespace each time, since the kernel removes one in the background,
// which would fall into the next measurement.
func (s *server) measureCycle(ports int) (a Answer, err error) {
	c := container{number: 0, ports: ports}
	time.Sleep(containerLifetime)
	if a.Setup, err = s.callNetavark("setup", s.measured, c); err != nil {
		return a, err
	}
	time.Sleep(containerLifetime)
	a.Teardown, err = s.callNetavark("teardown", s.measured, c)
	return a, err
}

// measurePeak calls the plugin as netavark does.
func (s *server) measurePeak(plugin string) (int64, error) {
	request, err := json.Marshal(s.network.pluginRequest(container{}))
	if err != nil {
		return 0, err
	}
	bytes, err := peakMemory(string(request), plugin, "setup", s.measured)
	_, teardownErr := runMeasured(string(request), plugin, "teardown", s.measured)
	return bytes, errors.Join(err, teardownErr)
}

// pluginDirs are the plugin directories that Podman passes, in its order.
var pluginDirs = []string{"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark",
	"/usr/lib/netavark"}

// callNetavark runs netavark as Podman does.
func (s *server) callNetavark(verb, namespace string, c container) (Cost, error) {
	request, err := json.Marshal(s.network.request(c))
	if err != nil {
		return Cost{}, err
	}
	names, err := lookPath("aardvark-dns")
	if err != nil {
		return Cost{}, err
	}
	argv := []string{"netavark", "--config", "/run/containers/networks", "--rootless", "false", "--aardvark-binary", names}
	for _, dir := range pluginDirs {
		argv = append(argv, "--plugin-directory", dir)
	}
	return runMeasured(string(request), append(argv, verb, namespace)...)
}

// runMeasured runs a process and returns its cost.
func runMeasured(stdin string, argv ...string) (Cost, error) {
	path, err := lookPath(argv[0])
	if err != nil {
		return Cost{}, err
	}
	cmd := exec.Command(path, argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// Which backend netavark's own drivers use; the newer one, and not what the machine happens to
	// prefer.
	cmd.Env = append(cmd.Environ(), "NETAVARK_FW=nftables")
	start := time.Now()
	err = cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return Cost{}, fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(said.String()))
	}
	return Cost{Wall: wall, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// lookPath also finds Podman's helpers, which are not in PATH.
func lookPath(program string) (string, error) {
	if path, err := exec.LookPath("/usr/lib/podman/" + program); err == nil && !strings.Contains(program, "/") {
		return path, nil
	}
	return exec.LookPath(program)
}
