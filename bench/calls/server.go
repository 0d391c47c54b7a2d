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

// Serve carries out orders until there are no more.
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
		answer, err := s.carryOut(o)
		if err != nil {
			answer.Error = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
	}
}

// server is what orders leave behind for later ones.
type server struct {
	network  network
	measured string // namespace of the container that comes and goes
	others   int
}

func (s *server) carryOut(o Order) (Answer, error) {
	switch {
	case o.Open != nil:
		return Answer{}, s.open(*o.Open)
	case o.Fill != nil:
		return Answer{}, s.fill(o.Fill.Others)
	case o.Cycle != nil:
		return s.cycle(o.Cycle.Ports)
	case o.Exec != nil:
		cost, err := run(o.Exec.Stdin, o.Exec.Argv...)
		return Answer{Exec: cost}, err
	case o.Peak != nil:
		bytes, err := s.peak(o.Peak.Plugin)
		return Answer{Peak: bytes}, err
	}
	return Answer{}, errors.New("empty order")
}

func (s *server) open(o Open) (err error) {
	if s.network, err = parseNetwork(o); err != nil {
		return err
	}
	s.measured, err = makeNamespace("bench")
	return err
}

func (s *server) fill(others int) error {
	for ; s.others < others; s.others++ {
		ns, err := makeNamespace(fmt.Sprintf("other%d", s.others))
		if err != nil {
			return err
		}
		c := container{number: s.others + 1, ports: 1}
		if _, err := s.call("setup", ns, c); err != nil {
			return err
		}
	}
	return nil
}

// runs is how long the measured container runs. Podman takes longer from the end of its setup to its program's, and
// as long again to the next one; so what goes on after a setup must not fall into the teardown.
const runs = 60 * time.Millisecond

// cycle uses one namespace again and again: the kernel removes one in the background, which would fall into the next
// measurement.
func (s *server) cycle(ports int) (a Answer, err error) {
	c := container{number: 0, ports: ports}
	time.Sleep(runs)
	if a.Setup, err = s.call("setup", s.measured, c); err != nil {
		return a, err
	}
	time.Sleep(runs)
	a.Teardown, err = s.call("teardown", s.measured, c)
	return a, err
}

// peak calls the plugin as netavark does.
func (s *server) peak(plugin string) (int64, error) {
	request, err := json.Marshal(s.network.pluginRequest(container{}))
	if err != nil {
		return 0, err
	}
	bytes, err := peak(string(request), plugin, "setup", s.measured)
	_, teardownErr := run(string(request), plugin, "teardown", s.measured)
	return bytes, errors.Join(err, teardownErr)
}

// pluginDirs are those that Podman passes, in its order.
var pluginDirs = []string{"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark"}

// call runs netavark as Podman does.
func (s *server) call(verb, namespace string, c container) (Cost, error) {
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
	return run(string(request), append(argv, verb, namespace)...)
}

// run takes the time of a process from its start to its end.
func run(stdin string, argv ...string) (Cost, error) {
	path, err := lookPath(argv[0])
	if err != nil {
		return Cost{}, err
	}
	cmd := exec.Command(path, argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	// Which backend netavark's own drivers use; the newer one, and not what the machine happens to prefer.
	cmd.Env = append(cmd.Environ(), "NETAVARK_FW=nftables")
	start := time.Now()
	err = cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return Cost{}, fmt.Errorf("run %s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(said.String()))
	}
	return Cost{Wall: wall, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// lookPath knows where Podman's helpers are, which are not in the path.
func lookPath(program string) (string, error) {
	if path, err := exec.LookPath("/usr/lib/podman/" + program); err == nil && !strings.Contains(program, "/") {
		return path, nil
	}
	return exec.LookPath(program)
}
