package metrics

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/logtest"
)

// scrape returns what a registry serves, without comments.
func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var lines strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// start serves metrics of a report until the test ends.
func start(t *testing.T, s Server) *logtest.Buffer {
	t.Helper()
	log := new(logtest.Buffer)
	s.Log = slog.New(slog.NewTextHandler(log, nil))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(ctx, func() agentapi.StatusReport { return agentapi.StatusReport{Version: "1.2"} })
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return log
}

// get returns what is served at a path of a server.
func get(t *testing.T, s Server, method, path string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, s.Network, s.Address)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://agent"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestServesOnPortAndSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "metrics.sock")
	for _, s := range []Server{{Network: "tcp", Address: freeAddress(t)}, {Network: "unix", Address: socket}} {
		start(t, s).WaitFor(t, "serving metrics")
		if status, body := get(t, s, http.MethodGet, "/metrics"); status != http.StatusOK || !strings.Contains(body, `version="1.2"} 1`) {
			t.Errorf("%s: %d, %s", s.Address, status, body)
		}
		for _, wrong := range [][2]string{{http.MethodGet, "/"}, {http.MethodPost, "/metrics"}, {http.MethodGet, "/debug/pprof/"}} {
			if status, _ := get(t, s, wrong[0], wrong[1]); status < 400 {
				t.Errorf("%s: %s is answered %d", s.Address, wrong, status)
			}
		}
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
}

// An agent that was killed leaves its socket, and the next one takes its place.
func TestStaleSocketIsReplaced(t *testing.T) {
	s := Server{Network: "unix", Address: filepath.Join(t.TempDir(), "metrics.sock")}
	l, err := net.Listen("unix", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	start(t, s).WaitFor(t, "serving metrics")
	if status, _ := get(t, s, http.MethodGet, "/metrics"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

// The address may be free later, or an interface may come.
func TestServesOnceTheAddressIsFree(t *testing.T) {
	s := Server{Network: "tcp", Address: freeAddress(t), pause: time.Millisecond}
	other, err := net.Listen("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	log := start(t, s)
	log.WaitFor(t, "cannot serve metrics")
	other.Close()
	log.WaitFor(t, "serving metrics")
	if n := strings.Count(log.String(), "cannot serve metrics"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// What is another program's stays, and the log says so.
func TestTakenAddressIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "file"), filepath.Join(dir, "socket")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, l := range []Server{{Network: "tcp", Address: freeAddress(t)}, {Network: "unix", Address: socket}} {
		other, err := net.Listen(l.Network, l.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		want := "another program listens there"
		if l.Network == "tcp" {
			want = "shows by whom"
		}
		start(t, l).WaitFor(t, want)
	}
	start(t, Server{Network: "unix", Address: file}).WaitFor(t, "is no socket")
	if kept, err := os.ReadFile(file); err != nil || string(kept) != "kept" {
		t.Errorf("the file has %q, %v", kept, err)
	}
	if conn, err := net.Dial("unix", socket); err != nil {
		t.Error("the other program's socket is gone")
	} else {
		conn.Close()
	}
}
