package enrol

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"vxlan-driver/internal/accept"
)

// Issuer is the host that issued tokens, as far as the server needs it.
type Issuer interface {
	// Offer says who this host is, to one that talks from an address to one of this host's.
	Offer(joiner, self netip.Addr) Offer
	// OpenPath prepares the ways between the hosts for being tried.
	OpenPath(ctx context.Context, spec PathSpec) (Path, error)
	// Grant returns what a host needs to be a member.
	Grant() (Grant, error)
}

// Limits on who is served.
const (
	maxVisitors     = 16
	maxAttempts     = 10 // of one address in attemptsPeriod
	attemptsPeriod  = time.Minute
	handshakeTime   = 5 * time.Second
	messageTimeout  = 10 * time.Second
	sessionTimeout  = 5 * time.Minute // a joining host may wait for its user
	maxHostNameSize = 64
)

// Server lets hosts in by the tokens of a store.
type Server struct {
	Store  *Store
	Issuer Issuer
	Log    *slog.Logger

	mu       sync.Mutex
	visitors int
	attempts map[netip.Addr][]time.Time
}

// Serve serves a listener until ctx is done, and then ends those who are being served.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel() // before Wait
	err := accept.Connections(ctx, l, func(error) {}, func(conn net.Conn) {
		from := addrOf(conn.RemoteAddr())
		if !s.admitVisitor(from) {
			_ = conn.Close() // nothing was sent on it
			return
		}
		serving.Go(func() {
			defer s.dismissVisitor()
			s.serveConn(ctx, conn, from)
		})
	})
	if err != nil {
		return fmt.Errorf("let hosts in: %w", err)
	}
	return nil
}

func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// admitVisitor counts an attempt, and tells whether it is within the limits.
func (s *Server) admitVisitor(from netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempts == nil {
		s.attempts = make(map[netip.Addr][]time.Time)
	}
	now := time.Now()
	for addr, times := range s.attempts {
		for len(times) > 0 && now.Sub(times[0]) > attemptsPeriod {
			times = times[1:]
		}
		if s.attempts[addr] = times; len(times) == 0 {
			delete(s.attempts, addr)
		}
	}
	if s.visitors >= maxVisitors || len(s.attempts[from]) >= maxAttempts {
		s.Log.Warn("refused a host that wants to join: too many attempts", "from", from)
		return false
	}
	s.attempts[from] = append(s.attempts[from], now)
	s.visitors++
	return true
}

func (s *Server) dismissVisitor() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.visitors--
}

// serveConn serves one host, and logs how that ended.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, from netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	secured := tls.Server(conn, &tls.Config{
		MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Without a certificate the handshake ends with the alert "unrecognized name".
			return s.Store.certificateFor(strings.TrimSuffix(h.ServerName, nameSuffix)), nil
		},
	})
	handshake, cancelHandshake := context.WithTimeout(ctx, handshakeTime)
	defer cancelHandshake()
	if err := secured.HandshakeContext(handshake); err != nil {
		s.Log.Warn("refused a host that wants to join: no handshake", "from", from, "err", err)
		return
	}
	v := &visit{
		Server: s, channel: newChannel(secured, maxRequest),
		id:      strings.TrimSuffix(secured.ConnectionState().ServerName, nameSuffix),
		visitor: visitor{addr: from}, self: addrOf(conn.LocalAddr()),
	}
	if err := v.serve(ctx); err != nil {
		s.Log.Warn("a host that wants to join was not let in", "token", v.id, "from", from, "host", v.host, "err", err)
	}
}

// visit is a joining host that is being served.
type visit struct {
	*Server
	*channel
	visitor
	id   string
	self netip.Addr
	path Path // that answers the other host's probes until its next message; nil: none
}

func (v *visit) serve(ctx context.Context) error {
	if err := v.exchangeNames(); err != nil {
		return err
	}
	defer v.closePath()
	for {
		var r request
		if err := v.receive(&r, sessionTimeout); err != nil {
			return err
		}
		v.closePath()
		switch {
		case r.Probe != nil:
			if err := v.tryPaths(ctx, *r.Probe); err != nil {
				return err
			}
		case r.Take:
			if err := v.grantKey(); err != nil {
				return err
			}
		case r.Stored:
			if err := v.Store.markUsed(v.id, v.visitor); err != nil {
				return v.refuse(err)
			}
			v.Log.Info("a host has joined by a token", "token", v.id, "from", v.addr, "host", v.host)
			return v.send(answer{Done: true}, messageTimeout)
		default:
			return v.refuse(refusal{Code: codeProtocol})
		}
	}
}

// exchangeNames reads who comes, and answers with who is here.
func (v *visit) exchangeNames() error {
	var h hello
	if err := v.receive(&h, messageTimeout); err != nil {
		return err
	}
	if h.Version != protocolVersion {
		return v.refuse(refusal{Code: codeVersion})
	}
	if len(h.Secret) != len(v.secret) || len(h.Joiner) != len(v.joiner) {
		return v.refuse(refusal{Code: codeProtocol})
	}
	v.secret, v.joiner, v.host = Secret(h.Secret), Secret(h.Joiner), printable(h.Host)
	done, err := v.Store.checkAdmission(v.id, v.visitor)
	if err != nil {
		return v.refuse(err)
	}
	offer := v.Issuer.Offer(v.addr, v.self)
	offer.Addr, offer.Joiner, offer.Time, offer.Done = v.self, v.addr, time.Now().Round(0), done
	return v.send(answer{Offer: &offer}, messageTimeout)
}

// printable makes a name that another host gave harmless in a log and on a terminal.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	return name[:min(len(name), maxHostNameSize)]
}

// grantKey gives the host the key. The token is that host's from then on.
func (v *visit) grantKey() error {
	g, err := v.Issuer.Grant()
	if err == nil {
		err = v.Store.reserveFor(v.id, v.visitor)
	}
	if err != nil {
		return v.refuse(err)
	}
	v.Log.Info("giving the cluster's key to a host that joins by a token", "token", v.id, "from", v.addr, "host", v.host)
	return v.send(answer{Grant: &g}, messageTimeout)
}

// refuse tells the host why it is not served, and returns the reason.
func (v *visit) refuse(why error) error {
	r, ok := errors.AsType[refusal](why)
	if !ok {
		r = refusal{Code: codeProblem, Text: why.Error()}
	}
	_ = v.send(answer{Refusal: &r}, messageTimeout) // the reason matters more
	return why
}

// tryPaths tries the ways between the hosts, while the other host does the same.
func (v *visit) tryPaths(ctx context.Context, spec PathSpec) error {
	spec.Self, spec.Peer = v.self, v.addr
	path, err := v.Issuer.OpenPath(ctx, spec)
	if err != nil {
		return v.refuse(err)
	}
	v.path = path
	ready := path.Ready()
	if err := v.send(answer{Ready: &ready}, messageTimeout); err != nil {
		return err
	}
	probing, stop := context.WithTimeout(ctx, spec.timeLimit())
	defer stop()
	report := path.Probe(probing, spec.Ready)
	return v.send(answer{Report: &report}, messageTimeout)
}

func (v *visit) closePath() {
	if v.path != nil {
		v.path.Close()
		v.path = nil
	}
}
