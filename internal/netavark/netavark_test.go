package netavark

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// fakePlugin returns what its fields say, and records its last call.
type fakePlugin struct {
	created   []byte
	status    Status
	err       error
	namespace string
	request   Request
	tornDown  bool
}

func (p *fakePlugin) Create([]byte) ([]byte, error) { return p.created, p.err }

func (p *fakePlugin) Setup(ns string, r Request) (Status, error) {
	p.namespace, p.request = ns, r
	return p.status, p.err
}

func (p *fakePlugin) Teardown(ns string, r Request) error {
	p.namespace, p.request, p.tornDown = ns, r, true
	return p.err
}

const setupInput = `{"container_id":"c1","container_name":"one","port_mappings":null,"network":{"name":"x"},"network_options":{"interface_name":"eth0"}}`

func TestVerbs(t *testing.T) {
	gateway := netip.MustParseAddr("10.0.0.1")
	status := Status{Interfaces: map[string]Interface{"eth0": {
		MAC:     "02:00:00:00:00:01",
		Subnets: []Subnet{{IPNet: netip.MustParsePrefix("10.0.0.2/24"), Gateway: &gateway}, {IPNet: netip.MustParsePrefix("10.1.0.2/24")}},
	}}}
	tests := []struct {
		name   string
		plugin fakePlugin
		args   []string
		stdin  string
		exit   int
		stdout string
	}{
		{"info", fakePlugin{}, []string{"info"}, "", 0, `{"api_version":"1.0.0","version":"1.2.3"}`},
		{"create", fakePlugin{created: []byte(`{"name":"x"}`)}, []string{"create"}, `{"name":"x"}`, 0, `{"name":"x"}`},
		{"create fails", fakePlugin{err: errors.New("2 problems\n  \"a\"\n  b")}, []string{"create"}, `{}`, 1, `{"error":"2 problems\n  \"a\"\n  b"}`},
		{"setup", fakePlugin{status: status}, []string{"setup", "/run/netns/x"}, setupInput, 0,
			`{"dns_search_domains":[],"dns_server_ips":[],"interfaces":{"eth0":{"mac_address":"02:00:00:00:00:01","subnets":[{"ipnet":"10.0.0.2/24","gateway":"10.0.0.1"},{"ipnet":"10.1.0.2/24"}]}}}`},
		{"setup fails", fakePlugin{err: errors.New("no")}, []string{"setup", "/x"}, setupInput, 1, `{"error":"no"}`},
		{"setup without JSON", fakePlugin{}, []string{"setup", "/x"}, "", 1, `{"error":"setup: read request: EOF"}`},
		{"teardown", fakePlugin{}, []string{"teardown", "/x"}, setupInput, 0, ""},
		{"teardown fails", fakePlugin{err: errors.New("no")}, []string{"teardown", "/x"}, setupInput, 1, `{"error":"no"}`},
		{"no verb", fakePlugin{}, nil, "", 1, `{"error":"unknown call []; this is a netavark plugin, called as ` + "`create`, `setup NETNS`, `teardown NETNS` or `info`" + `"}`},
		{"setup without a namespace", fakePlugin{}, []string{"setup"}, "", 1, `{"error":"unknown call [\"setup\"]; this is a netavark plugin, called as ` + "`create`, `setup NETNS`, `teardown NETNS` or `info`" + `"}`},
		// Podman 5 hangs on what does not fit a pipe's buffer.
		{"too much", fakePlugin{created: bytes.Repeat([]byte("x"), 64<<10)}, []string{"create"}, "{}", 1, `{"error":"the answer has 65536 bytes, more than the 65535 that Podman can read; shorten the list of hosts"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			exit := Main(&tt.plugin, "1.2.3", tt.args, strings.NewReader(tt.stdin), &out)
			if exit != tt.exit || out.String() != tt.stdout {
				t.Errorf("exit %d, %s\nwant %d, %s", exit, out.String(), tt.exit, tt.stdout)
			}
		})
	}
}

func TestTeardownReceivesRequest(t *testing.T) {
	var p fakePlugin
	Main(&p, "", []string{"teardown", "/run/netns/x"}, strings.NewReader(setupInput), new(bytes.Buffer))
	r := p.request
	if p.namespace != "/run/netns/x" || r.ContainerID != "c1" || r.ContainerName != "one" ||
		string(r.Network) != `{"name":"x"}` || string(r.Options) != `{"interface_name":"eth0"}` {
		t.Errorf("got %s %+v", p.namespace, r)
	}
}

// FuzzRequest: no input makes the program panic, and its output is always JSON.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(setupInput))
	f.Add([]byte(`{"container_id":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		Main(&fakePlugin{}, "", []string{"setup", "/x"}, bytes.NewReader(data), &out)
		if !json.Valid(out.Bytes()) {
			t.Errorf("answered %q", out.Bytes())
		}
	})
}

// errWriter is a pipe without a reader.
type errWriter struct{}

func (errWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Found by lab/faulttest: netavark was killed, and the container's port stayed without anybody to
// remove it.
func TestSetupUndoneWhenAnswerCannotBeWritten(t *testing.T) {
	p := &fakePlugin{}
	if exit := Main(p, "1.2.3", []string{"setup", "/run/netns/x"}, strings.NewReader(setupInput), errWriter{}); exit != 1 {
		t.Errorf("exit status %d, want 1", exit)
	}
	if !p.tornDown || p.namespace != "/run/netns/x" || p.request.ContainerID != "c1" {
		t.Errorf("not undone: %+v", p)
	}
	// teardown has no output, so it cannot fail to write it.
	if exit := Main(p, "1.2.3", []string{"teardown", "/run/netns/x"}, strings.NewReader(setupInput), errWriter{}); exit != 0 {
		t.Errorf("exit status %d of a teardown, want 0", exit)
	}
}

// signalledPlugin sends itself signals, as a terminal or a service manager sends them to all of
// Podman's processes.
type signalledPlugin struct {
	fakePlugin
	signals []syscall.Signal
}

func (p *signalledPlugin) Teardown(ns string, r Request) error {
	for _, s := range p.signals {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			return err
		}
	}
	return p.fakePlugin.Teardown(ns, r)
}

// A signal that is not ignored ends this test's own process.
func TestTeardownSurvivesSignals(t *testing.T) {
	p := &signalledPlugin{signals: []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGPIPE}}
	t.Cleanup(func() {
		signal.Reset(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGPIPE)
	})
	var stdout bytes.Buffer
	if exit := Main(p, "1", []string{"teardown", "/x"}, strings.NewReader(setupInput), &stdout); exit != 0 || !p.tornDown {
		t.Errorf("exit status %d, torn down: %v, output %q", exit, p.tornDown, stdout.String())
	}
}
