package enrol

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// middle is somebody between the hosts: what is meant for the issuer goes to him.
type middle struct {
	net.Listener
	mu   sync.Mutex
	seen bytes.Buffer // what he can read
}

func newMiddle(t *testing.T, serve func(m *middle, victim net.Conn)) *middle {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middle{Listener: l}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				serve(m, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return m
}

func (m *middle) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.Write(p)
}

func (m *middle) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.String()
}

// divert makes a token's way lead to him.
func (m *middle) divert(t Token) Token {
	at := m.Addr().(*net.TCPAddr).AddrPort()
	t.Addrs, t.Port = []netip.Addr{at.Addr()}, at.Port()
	return t
}

// He shows a certificate of his own, for the name that is asked for, and passes on what he gets. He
// gets nothing: the joining host ends the handshake.
func TestManInTheMiddleGetsNothing(t *testing.T) {
	r := newRig(t)
	token := r.token()
	der, key, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	own, err := loadCertificate(der, key)
	if err != nil {
		t.Fatal(err)
	}
	handshakes := make(chan error, 1)
	m := newMiddle(t, func(m *middle, victim net.Conn) {
		conn := tls.Server(victim, &tls.Config{Certificates: []tls.Certificate{*own}})
		_, err := io.Copy(m, conn) // the handshake comes with it
		handshakes <- err
	})
	err = r.joiner("host-b").join(m.divert(token), allSteps)
	if err == nil || !strings.Contains(err.Error(), "is not the host that issued the token; nothing was sent") {
		t.Errorf("the joining host says %v", err)
	}
	if err := <-handshakes; err == nil {
		t.Error("the handshake was finished")
	}
	if got := m.String(); got != "" {
		t.Errorf("he got %q", got)
	}
	if list := r.store.List(); list[0].UsedBy != "" {
		t.Errorf("the token is used: %+v", list[0])
	}
}

// He has the real certificate, which everybody gets who asks the issuer for it, but not its key.
func TestManInTheMiddleWithCopiedCertificate(t *testing.T) {
	r := newRig(t)
	token := r.token()
	_, key, err := newCertificate()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := loadCertificate(r.store.certificateFor(token.Fingerprint.ID()).Certificate[0], key)
	if err != nil {
		t.Fatal(err)
	}
	m := newMiddle(t, func(m *middle, victim net.Conn) {
		_, _ = io.Copy(m, tls.Server(victim, &tls.Config{Certificates: []tls.Certificate{*copied}}))
	})
	if err := r.joiner("host-b").join(m.divert(token), allSteps); err == nil {
		t.Error("the host has joined")
	}
	if got := m.String(); got != "" {
		t.Errorf("he got %q", got)
	}
}

// He only listens: of the key, the secret and the networks nothing can be read.
func TestListenerOnTheUnderlayReadsNothing(t *testing.T) {
	r := newRig(t)
	token := r.token()
	m := newMiddle(t, func(m *middle, victim net.Conn) {
		issuer, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			return
		}
		defer issuer.Close()
		go func() { _, _ = io.Copy(io.MultiWriter(issuer, m), victim); issuer.Close() }()
		_, _ = io.Copy(io.MultiWriter(victim, m), issuer)
	})
	if err := r.joiner("host-b").join(m.divert(token), allSteps); err != nil {
		t.Fatal(err)
	}
	got := m.String()
	if len(got) < 500 {
		t.Fatalf("he saw only %d bytes", len(got))
	}
	for _, secret := range []string{clusterKey, string(token.Secret[:]), encoding.EncodeToString(token.Secret[:]), "mynet", "host-b"} {
		if strings.Contains(got, secret) {
			t.Errorf("he read %q", secret)
		}
	}
}

// He offers an older TLS.
func TestOldTLSIsRefused(t *testing.T) {
	r := newRig(t)
	token := r.token()
	own := r.store.certificateFor(token.Fingerprint.ID())
	m := newMiddle(t, func(m *middle, victim net.Conn) {
		_, _ = io.Copy(m, tls.Server(victim, &tls.Config{Certificates: []tls.Certificate{*own}, MaxVersion: tls.VersionTLS12}))
	})
	if err := r.joiner("host-b").join(m.divert(token), 0); err == nil || m.String() != "" {
		t.Errorf("joined: %v; he got %q", err, m)
	}
}

// Who tries secrets, or only opens connections, is stopped soon. Others are served meanwhile.
func TestAttemptsAreLimited(t *testing.T) {
	r := newRig(t)
	token := r.token()
	wrong := token
	wrong.Secret[0] ^= 1
	for range maxAttempts {
		if err := r.joiner("thief").join(wrong, 0); err == nil {
			t.Fatal("let in")
		}
	}
	if err := r.joiner("thief").join(token, 0); err == nil {
		t.Error("one more attempt is served")
	}
	// From another address.
	other := r.joiner("host-b")
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other.Dial = func(_ context.Context, to netip.AddrPort) (net.Conn, error) { return dialer.Dial("tcp", to.String()) }
	if err := other.join(token, allSteps); err != nil {
		t.Error(err)
	}
	r.stop() // all that is to be logged is then
	if log := r.log.String(); !strings.Contains(log, "too many attempts") || strings.Count(log, "with another secret") != maxAttempts {
		t.Errorf("logged %s", log)
	}
}

// A host that says something else than it should is refused, and what it sends is bounded.
func TestServerOnGarbage(t *testing.T) {
	r := newRig(t)
	token := r.token()
	for name, send := range map[string]string{
		"no JSON":              "hello\n",
		"another version":      `{"version":2,"secret":"AAAAAAAAAAAAAAAAAAAAAA==","joiner":"AAAAAAAAAAAAAAAAAAAAAA=="}` + "\n",
		"a short secret":       `{"version":1,"secret":"AAAA","joiner":"AAAAAAAAAAAAAAAAAAAAAA=="}` + "\n",
		"more than is allowed": `{"version":1,"secret":"` + strings.Repeat("A", 2*maxRequest) + `"}` + "\n",
	} {
		conn, err := tls.Dial("tcp", r.addr.String(), clientConfig(token.Fingerprint))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.WriteString(conn, send); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := io.ReadAll(conn); strings.Contains(string(got), "offer") {
			t.Errorf("%s: answered %s", name, got)
		}
		conn.Close()
	}
	// Without TLS, and without a name.
	for _, start := range []func(net.Conn) error{
		func(c net.Conn) error { _, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n"); return err },
		func(c net.Conn) error { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
	} {
		conn, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = start(conn) // refused
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if got, _ := io.ReadAll(conn); bytes.Contains(got, []byte("host-a")) {
			t.Errorf("answered %q", got)
		}
		conn.Close()
	}
	if err := r.joiner("host-b").join(token, allSteps); err != nil {
		t.Errorf("the token is spoilt: %v", err)
	}
}
