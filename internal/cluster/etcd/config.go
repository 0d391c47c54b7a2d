package etcd

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/regfile"
)

// Carries is what etcd carries: everything.
var Carries = cluster.Capabilities{Members: true, ExactForwarding: true, Owners: true, Names: true}

// Config is what a Plane needs to know. Package config has checked it.
type Config struct {
	HostID   cluster.HostID
	HostName func() string
	// Instance tells this host from a copy of it with the same ID; "": it is found out.
	Instance string
	// Endpoints are the servers' URLs.
	Endpoints []string
	CA        string // file with certificates of those who signed the servers'; "": the system's
	Cert, Key string // files with this host's own certificate and key; "": it has none
	User      string // "": none
	// PasswordFile has the user's password.
	PasswordFile string
	// MarkFile keeps which etcd this host knew, and how new that was; "": nothing does.
	MarkFile       string
	Prefix         string        // of all keys
	DialTimeout    time.Duration // of a connection to one server
	RequestTimeout time.Duration // after which a claim has failed
	// Lease is after what time without a sign of life a host counts as unreachable.
	Lease time.Duration
	// Networks names those of this host that hosts define once in etcd; nil: none.
	Networks func() []string
	Log      *slog.Logger

	authInterval, verifyInterval time.Duration
}

const (
	// DefaultPrefix is that of all keys.
	DefaultPrefix = "/vxlan"
	// DefaultDialTimeout is enough for a TLS handshake over a slow link.
	DefaultDialTimeout = 2 * time.Second
	// DefaultRequestTimeout outlasts the election of a leader, which takes one to two seconds. With it
	// a container's start fails within five seconds: half a second is for finding out the reason, and half a
	// second for Podman. Where it starts the agent, a third is for finding out that etcd is away (signTimeout),
	// or DefaultDialTimeout for a user with a password, and half is for the claim (claimTimeout).
	DefaultRequestTimeout = 3500 * time.Millisecond
	// DefaultLease outlasts an election, and a host that swaps for a few seconds.
	DefaultLease = 15 * time.Second
)

// withDefaults fills in what is left out.
func (c Config) withDefaults() (Config, error) {
	c.Prefix = cmp.Or(c.Prefix, DefaultPrefix)
	c.DialTimeout = cmp.Or(c.DialTimeout, DefaultDialTimeout)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, DefaultRequestTimeout)
	c.Lease = cmp.Or(c.Lease, DefaultLease)
	if c.Instance == "" {
		c.Instance = thisInstance()
	}
	c.authInterval = cmp.Or(c.authInterval, authInterval)
	c.verifyInterval = cmp.Or(c.verifyInterval, verifyInterval)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.HostID.IsZero():
		return c, errors.New("the host has no ID")
	case len(c.Endpoints) == 0:
		return c, errors.New("discovery=etcd needs a section [etcd] with endpoints in /etc/vxlan/vxland.toml on this host")
	}
	return c, nil
}

const (
	// pingInterval is how often an idle connection is tried. etcd refuses pings that come more often
	// than every five seconds.
	pingInterval = 10 * time.Second
	// pingTimeout is when a connection counts as dead.
	pingTimeout = 4 * time.Second
	// maxReconnectPause is how long a server that was away is not tried again. gRPC's own limit is two minutes.
	maxReconnectPause = 2 * time.Second
)

// connect returns a client, which connects when it is used.
func (c Config) connect() (*clientv3.Client, error) {
	settings, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	password, err := c.password()
	if err != nil {
		return nil, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: c.Endpoints, DialTimeout: c.DialTimeout, TLS: settings, Username: c.User, Password: password,
		DialKeepAliveTime: pingInterval, DialKeepAliveTimeout: pingTimeout, PermitWithoutStream: true,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, Jitter: 0.2, MaxDelay: maxReconnectPause},
			MinConnectTimeout: c.DialTimeout,
		})},
		Logger: zap.NewNop(), // what is wrong is in the errors
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", c.servers(), err)
	}
	return client, nil
}

// servers names the servers for people.
func (c Config) servers() string { return strings.Join(c.Endpoints, ", ") }

// usesTLS tells whether the connections are encrypted.
func (c Config) usesTLS() bool { return strings.HasPrefix(c.Endpoints[0], "https://") }

// tlsConfig returns how to connect by TLS, or nil if that is not wanted. The host's certificate is
// read for each connection, so that one that was renewed is used.
func (c Config) tlsConfig() (*tls.Config, error) {
	if !c.usesTLS() {
		return nil, nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		pem, err := regfile.ReadText(c.CA)
		if err != nil {
			return nil, fmt.Errorf("etcd ca: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("etcd ca %s: has no certificate", c.CA)
		}
	}
	if c.Cert == "" {
		return settings, nil
	}
	settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert, err := regfile.ReadText(c.Cert)
		if err != nil {
			return nil, fmt.Errorf("etcd cert: %w", err)
		}
		key, err := regfile.ReadText(c.Key)
		if err != nil {
			return nil, fmt.Errorf("etcd key: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("etcd cert %s, key %s: %w", c.Cert, c.Key, err)
		}
		return &pair, nil
	}
	return settings, nil
}

func (c Config) password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	text, err := regfile.ReadText(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("etcd password_file: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
