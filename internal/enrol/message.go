package enrol

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"vxlan-driver/internal/adopt"
)

// protocolVersion is that of the messages below.
const protocolVersion = 1

// hello is the joining host's first message.
type hello struct {
	Version int    `json:"version"`
	Secret  []byte `json:"secret"`
	// Joiner is random, and the same in each attempt of that host. So an attempt that was
	// interrupted can be told from somebody else's.
	Joiner []byte `json:"joiner"`
	Host   string `json:"host"`
}

// Offer is what the issuer says first of itself.
type Offer struct {
	Host      string     `json:"host"`
	Addr      netip.Addr `json:"addr"`   // of this host, by which the two talk
	Joiner    netip.Addr `json:"joiner"` // of the joining host, as seen here
	Cluster   string     `json:"cluster"`
	AgentPort uint16     `json:"agent_port"`
	// TunnelPorts are the UDP ports of the packets of the networks that the host has, if it has
	// any.
	TunnelPorts []uint16 `json:"tunnel_ports,omitempty"`
	// MTU is that of the interface, in bytes.
	MTU  int       `json:"mtu"`
	Time time.Time `json:"time"`
	// Done tells that this host has stored the key already, by this token.
	Done bool `json:"done,omitempty"`
	// KeyID is a hash of the key that encrypts.
	KeyID string `json:"key_id"`
}

// Grant is what makes a host a member.
type Grant struct {
	Keys      string             `json:"keys"` // lines of a key file
	Cluster   string             `json:"cluster"`
	AgentPort uint16             `json:"agent_port"`
	Seeds     []netip.AddrPort   `json:"seeds"`
	Networks  []adopt.Definition `json:"networks,omitempty"`
}

// request is what the joining host says after hello: one of these.
type request struct {
	Probe  *PathSpec `json:"probe,omitempty"` // let us try the ways between us
	Take   bool      `json:"take,omitempty"`  // give me the key
	Stored bool      `json:"stored,omitempty"`
}

// answer is what the issuer says: one of these, or a refusal.
type answer struct {
	Refusal *refusal    `json:"refusal,omitempty"`
	Offer   *Offer      `json:"offer,omitempty"`
	Ready   *PathReady  `json:"ready,omitempty"`
	Report  *PathReport `json:"report,omitempty"`
	Grant   *Grant      `json:"grant,omitempty"`
	Done    bool        `json:"done,omitempty"`
}

// The reasons of a refusal.
const (
	codeUnknown     = "unknown"
	codeWrongSecret = "wrong-secret"
	codeUsed        = "used"
	codeExpired     = "expired"
	codeTooOften    = "too-often"
	codeDone        = "done"
	codeVersion     = "version"
	codeProtocol    = "protocol"
	codeProblem     = "problem" // of the issuer's
)

// refusal says why a host is not let in.
type refusal struct {
	Code   string        `json:"code"`
	UsedBy string        `json:"used_by,omitempty"`
	Age    time.Duration `json:"age,omitempty"`
	Text   string        `json:"text,omitempty"`
}

// Error is for the joining host's user.
func (r refusal) Error() string {
	const another = "create another one there with `vxlanctl token create`"
	switch r.Code {
	case codeUnknown:
		return "that host has no such token any more; " + another
	case codeWrongSecret:
		return "that host has the token, but with another secret: it was altered; " + another
	case codeUsed:
		return fmt.Sprintf("the token was used from %s %v ago. If that was not you, somebody else has the cluster's key: "+
			"run `vxlanctl key rotate --without HOST` there, then %s", r.UsedBy, r.Age.Round(time.Second), another)
	case codeExpired:
		return fmt.Sprintf("the token expired %v ago; %s", r.Age.Round(time.Second), another)
	case codeTooOften:
		return "this host has asked for the key too often by this token; " + another
	case codeDone:
		return "this host has got the key by this token and said so; to get it again, " + another
	case codeVersion:
		return "that host speaks another version; install one version of vxlanctl and vxland on both"
	case codeProtocol:
		return "that host does not understand this one; install one version of vxlanctl and vxland on both"
	}
	return "that host says: " + r.Text
}

// Limits on messages, in bytes. A grant has the networks.
const (
	maxRequest = 8 << 10
	maxAnswer  = 4 << 20
)

// channel is a connection for messages, one a line.
type channel struct {
	net.Conn
	limit *io.LimitedReader
	lines *bufio.Reader
	max   int64
}

func newChannel(conn net.Conn, maxBytes int64) *channel {
	limit := &io.LimitedReader{R: conn}
	return &channel{Conn: conn, limit: limit, lines: bufio.NewReader(limit), max: maxBytes}
}

// send sends a message before the deadline.
func (c *channel) send(message any, timeout time.Duration) error {
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err = c.Write(append(data, '\n'))
	return err
}

// receive reads a message that comes before the deadline.
func (c *channel) receive(message any, timeout time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	c.limit.N = c.max
	line, err := c.lines.ReadBytes('\n')
	if errors.Is(err, io.EOF) && c.limit.N <= 0 {
		return errors.New("the message is too long")
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(line, message)
}
