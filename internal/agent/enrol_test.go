package agent

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
)

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// newTokenAgent is an agent that can make tokens, whose loop does not run.
func newTokenAgent(t *testing.T) *Agent {
	a, _ := newKeyAgent(t)
	a.Config.KeepRunning, a.Config.JoinPort = true, freePort(t)
	a.clusters = newClusterSet(a.Config, planeKinds{hosts: a.Plane}, a.Log)
	a.clusters.SetOwn(netip.MustParseAddr("127.0.0.1"))
	return a
}

func askToken[T any](t *testing.T, a *Agent, verb agentapi.Verb, r agentapi.TokenRequest) (T, string) {
	t.Helper()
	request, err := agentapi.NewRequest(verb, r)
	if err != nil {
		t.Fatal(err)
	}
	response := a.handleToken(t.Context(), request)
	if response.Error != "" {
		var none T
		return none, response.Error
	}
	data, err := agentapi.ReadData[T](response)
	if err != nil {
		t.Fatal(err)
	}
	return data, ""
}

// The port is open while there is a token, and not before or after.
func TestPortIsOpenWhileThereAreTokens(t *testing.T) {
	a := newTokenAgent(t)
	at := netip.AddrPortFrom(a.clusters.Own(), a.Config.JoinPort).String()
	isOpen := func() bool {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	go a.enrolment.Run(t.Context())
	if isOpen() {
		t.Error("open without a token")
	}
	first, err := askToken[string](t, a, agentapi.VerbTokenCreate, agentapi.TokenRequest{TTL: time.Hour})
	if err != "" || !strings.HasPrefix(first, "vx1.") || !isOpen() {
		t.Fatalf("token %q, %s; open: %v", first, err, isOpen())
	}
	if _, err := askToken[string](t, a, agentapi.VerbTokenCreate, agentapi.TokenRequest{TTL: time.Hour}); err != "" {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(a.TokensDir, "*.json"))
	for i, f := range files {
		if !isOpen() {
			t.Error("closed while there is a token")
		}
		if _, err := askToken[any](t, a, agentapi.VerbTokenRevoke, agentapi.TokenRequest{ID: strings.TrimSuffix(filepath.Base(f), ".json")}); err != "" {
			t.Errorf("token %d: %s", i, err)
		}
	}
	if len(files) != 2 || isOpen() {
		t.Errorf("open after the last of %d tokens", len(files))
	}
	if info, err := os.Stat(a.TokensDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v, %v", info.Mode(), err)
	}
}

// A token by which nobody could come is not made.
func TestTokenIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*Agent)
		want  string
	}{
		"without a key":                     {func(a *Agent) { a.KeyFile = nil }, "run `vxlanctl init`, which makes one"},
		"an agent that ends":                {func(a *Agent) { a.Config.KeepRunning = false }, "run `vxlanctl init`, which keeps it running"},
		"without an address":                {func(a *Agent) { a.clusters.SetOwn(netip.Addr{}) }, "no address for other hosts yet"},
		"an address that is not the host's": {func(a *Agent) { a.clusters.SetOwn(netip.MustParseAddr("192.0.2.1")) }, "listen for joining hosts"},
		"a port that is taken": {func(a *Agent) {
			l, err := net.Listen("tcp", netip.AddrPortFrom(a.clusters.Own(), a.Config.JoinPort).String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "address already in use"},
	} {
		a := newTokenAgent(t)
		tt.spoil(a)
		go a.enrolment.Run(t.Context())
		if _, err := askToken[string](t, a, agentapi.VerbTokenCreate, agentapi.TokenRequest{TTL: time.Hour}); !strings.Contains(err, tt.want) {
			t.Errorf("%s: %q", name, err)
		}
		if list := a.enrolment.store.List(); len(list) > 0 {
			t.Errorf("%s: left %+v", name, list)
		}
	}
}
