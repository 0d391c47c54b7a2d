package enrol

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	dialTimeout = 3 * time.Second
	// probeTimeout is longer than the ways by one tunnel port take, if each of them loses
	// everything.
	probeTimeout = 40 * time.Second
	// pathTime is for the ways by all tunnel ports. What is left of the session is for the rest of
	// the join. Of eight ports each has 30 seconds, where package pathcheck takes 23 at the very
	// most.
	pathTime = sessionTimeout * 4 / 5
)

// Joiner is the joining host.
type Joiner struct {
	// ID is random, secret, and the same in each attempt to join by a token.
	ID   Secret
	Host string // its name
	// Dial connects; nil: as usual.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Session is a joining host's talk with the issuer, which has let it in.
type Session struct {
	*channel
	Offer Offer
	// Self is this host's address, from which it talks, and Peer the issuer's.
	Self, Peer netip.Addr
	// ClockAhead is by how much the issuer's clock is ahead, and ClockAccuracy how well that is
	// known.
	ClockAhead, ClockAccuracy time.Duration
}

// Enter talks to the host that issued the token. It tries the token's addresses in turn. Nothing is
// sent to a host that is not the issuer.
func (j Joiner) Enter(ctx context.Context, t Token) (*Session, error) {
	var errs []error
	for _, addr := range t.Addrs {
		at := netip.AddrPortFrom(addr, t.Port)
		s, err := j.enterAt(ctx, at, t)
		if err == nil {
			return s, nil
		}
		errs = append(errs, fmt.Errorf("%v: %w", at, err))
		if _, refused := errors.AsType[refusal](err); refused {
			break // it is the issuer, and says the same at its other addresses
		}
	}
	return nil, errors.Join(errs...)
}

func (j Joiner) enterAt(ctx context.Context, at netip.AddrPort, t Token) (*Session, error) {
	conn, err := j.dial(ctx, at)
	if err != nil {
		return nil, explainDial(err, at.Port())
	}
	secured := tls.Client(conn, clientConfig(t.Fingerprint))
	handshake, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := secured.HandshakeContext(handshake); err != nil {
		return nil, errors.Join(explainHandshake(err), conn.Close())
	}
	s := &Session{channel: newChannel(secured, maxAnswer), Self: addrOf(conn.LocalAddr()), Peer: addrOf(conn.RemoteAddr())}
	sent := time.Now()
	if err := s.send(hello{Version: protocolVersion, Secret: t.Secret[:], Joiner: j.ID[:], Host: j.Host},
		messageTimeout); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	a, err := s.awaitAnswer(messageTimeout)
	if err == nil && a.Offer == nil {
		err = refusal{Code: codeProtocol}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	// As NTP does: the other clock was read about halfway between sending and receiving.
	took := time.Since(sent)
	s.Offer, s.ClockAhead, s.ClockAccuracy = *a.Offer, a.Offer.Time.Sub(sent.Round(0).Add(took/2)), took/2
	return s, nil
}

func (j Joiner) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if j.Dial != nil {
		return j.Dial(ctx, to)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", to.String())
}

// explainDial says what may keep a host from being reached.
func explainDial(err error, port uint16) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf(
			"nobody listens there: the token has expired or was revoked, the agent does not run, or a firewall refuses TCP %d; "+
				"see `vxlanctl token ls` there", port)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer: open TCP %d on that host and on the way, to this host", port)
	}
	return err
}

// unrecognizedName is the TLS alert of a host that has no such token (RFC 6066, section 3). The
// type of a remote alert is not exported.
const unrecognizedName = "tls: unrecognized name"

func explainHandshake(err error) error {
	if strings.HasSuffix(err.Error(), unrecognizedName) {
		return refusal{Code: codeUnknown}
	}
	if errors.Is(err, errWrongHost) {
		return errWrongHost
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New(
			"it does not answer as a host that lets others in: is another program on that port, or something between the hosts?")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("it ended the connection. It does that for a minute after ten attempts; its log says why")
	}
	return fmt.Errorf("who answers there does not speak as a host that lets others in: %w", err)
}

// awaitAnswer reads the next answer. A refusal is an error.
func (s *Session) awaitAnswer(timeout time.Duration) (answer, error) {
	var a answer
	if err := s.receive(&a, timeout); err != nil {
		return answer{}, fmt.Errorf("the other host ended the connection: %w", err)
	}
	if a.Refusal != nil {
		return answer{}, *a.Refusal
	}
	return a, nil
}

func (s *Session) ask(r request, timeout time.Duration) (answer, error) {
	if err := s.send(r, messageTimeout); err != nil {
		return answer{}, fmt.Errorf("the other host ended the connection: %w", err)
	}
	return s.awaitAnswer(timeout)
}

// maxProbeVNI is the largest VNI.
const maxProbeVNI = 1<<24 - 1

// DefaultTunnelPort is that of networks that give none (IANA, RFC 7348).
const DefaultTunnelPort = 4789

// maxTunnelPorts bounds how many tunnel ports are tried. Mostly all networks have the same.
const maxTunnelPorts = 8

// PathSpecs returns what is to be tried between this host and the issuer, one spec a tunnel port:
// the port of each network, and the default one, which the next network has. mtu is that of this
// host's interface.
func (s *Session) PathSpecs(mtu int) (specs []PathSpec) {
	ports := slices.Clone(s.Offer.TunnelPorts)
	if !slices.Contains(ports, DefaultTunnelPort) {
		ports = append(ports, DefaultTunnelPort)
	}
	ports = ports[:min(len(ports), maxTunnelPorts)]
	for _, port := range ports {
		spec := s.newPathSpec(mtu, port)
		spec.Within = min(probeTimeout, pathTime/time.Duration(len(ports)))
		if len(specs) == 0 {
			spec.AgentPort = s.Offer.AgentPort // it is tried once
		}
		specs = append(specs, spec)
	}
	return specs
}

func (s *Session) newPathSpec(mtu int, tunnelPort uint16) PathSpec {
	spec := PathSpec{MTU: mtu, TunnelPort: tunnelPort, Self: s.Self, Peer: s.Peer}
	if s.Offer.MTU > 0 {
		spec.MTU = min(mtu, s.Offer.MTU)
	}
	_, _ = rand.Read(spec.Nonce[:]) // never fails
	spec.VNI = 1 + binary.BigEndian.Uint32(spec.Nonce[:])%maxProbeVNI
	return spec
}

// Probe tries the ways between the two hosts, in both directions at once.
func (s *Session) Probe(ctx context.Context, spec PathSpec, path Path, selfMTU int) (PathSides, error) {
	spec.Ready = path.Ready()
	a, err := s.ask(request{Probe: &spec}, messageTimeout)
	if err != nil {
		return PathSides{}, err
	}
	if a.Ready == nil {
		return PathSides{}, refusal{Code: codeProtocol}
	}
	sides := PathSides{
		Spec: spec, Self: "this host", Peer: s.PeerLabel(), SelfReady: spec.Ready, PeerReady: *a.Ready,
		PortUnused: len(s.Offer.TunnelPorts) > 0 && !slices.Contains(s.Offer.TunnelPorts, spec.TunnelPort),
		SelfMTU:    selfMTU, PeerMTU: s.Offer.MTU, ClockAhead: s.ClockAhead, ClockAccuracy: s.ClockAccuracy,
	}
	probing, stop := context.WithTimeout(ctx, spec.timeLimit())
	sides.Mine = path.Probe(probing, *a.Ready)
	stop()
	// The other host began a moment later.
	if a, err = s.awaitAnswer(spec.timeLimit() + messageTimeout); err != nil {
		return PathSides{}, err
	}
	if a.Report == nil {
		return PathSides{}, refusal{Code: codeProtocol}
	}
	sides.Theirs = *a.Report
	return sides, nil
}

// PeerLabel is how people know the issuer.
func (s *Session) PeerLabel() string {
	if s.Offer.Host == "" {
		return s.Peer.String()
	}
	return fmt.Sprintf("%s (%v)", s.Offer.Host, s.Peer)
}

// Take returns what makes this host a member. From then on the token is good for this host alone.
func (s *Session) Take() (Grant, error) {
	a, err := s.ask(request{Take: true}, messageTimeout)
	if err == nil && a.Grant == nil {
		err = refusal{Code: codeProtocol}
	}
	if err != nil {
		return Grant{}, err
	}
	for _, n := range a.Grant.Networks {
		if err := n.Check(); err != nil {
			return Grant{}, fmt.Errorf("the other host's networks: %w", err)
		}
	}
	return *a.Grant, nil
}

// Confirm says that this host has stored the key, which uses the token up.
func (s *Session) Confirm() error {
	a, err := s.ask(request{Stored: true}, messageTimeout)
	if err == nil && !a.Done {
		err = refusal{Code: codeProtocol}
	}
	return err
}
